// The LogQL editor: CodeMirror with the grammar Grafana's editor uses.
import { acceptCompletion, autocompletion, closeBrackets, completionKeymap, completionStatus, startCompletion,
  type Completion, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, insertNewline } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, LanguageSupport, LRLanguage, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, Prec, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, keymap, placeholder, type DecorationSet } from "@codemirror/view";
import { parser } from "@grafana/lezer-logql";
import { styleTags, tags as t } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";
import { labelValues } from "../lib/api";
import { errorSpan, parseErrorText, type Span } from "../lib/errors";
import { cursorContext, quote } from "../lib/logql";
import { resolve, toNs } from "../lib/time";
import { draft, go, labels, loading, page, problem, rows } from "../state";
import { Play } from "./icons";
import { theme } from "./theme";

const FUNCTIONS = [
  "count_over_time", "rate", "bytes_over_time", "bytes_rate", "sum_over_time", "avg_over_time", "max_over_time",
  "min_over_time", "quantile_over_time", "first_over_time", "last_over_time", "absent_over_time",
  "sum", "avg", "min", "max", "count", "stddev", "stdvar", "topk", "bottomk", "sort", "sort_desc",
];
const STAGES: Completion[] = [
  { label: "json", detail: "fields of a JSON line" },
  { label: "logfmt", detail: "fields of key=value lines" },
  { label: "pattern", detail: "fields by a pattern", apply: 'pattern "<_>"' },
  { label: "regexp", detail: "fields by named groups", apply: 'regexp "(?P<name>.*)"' },
  { label: "unpack", detail: "undo packing" },
  { label: "line_format", detail: "rewrite the line", apply: 'line_format "{{.}}"' },
  { label: "label_format", detail: "rename or make labels" },
  { label: "drop", detail: "take labels away" },
  { label: "keep", detail: "keep only some labels" },
  { label: "decolorize", detail: "strip ANSI colours" },
];

const language = LRLanguage.define({
  parser: parser.configure({
    props: [styleTags({
      String: t.string,
      "Number Duration Bytes Range": t.number,
      LineComment: t.lineComment,
      "Matcher/Identifier DropLabel/Identifier KeepLabel/Identifier Labels/Identifier": t.propertyName,
      "Eq Neq Re Nre Gtr Gte Lss Lte Eql PipeExact PipeMatch PipePattern Npa Add Sub Mul Div Mod Pow": t.operator,
      Pipe: t.operator,
      "RangeOp/... VectorOp/... LabelReplace Vector BytesConv DurationConv DurationSecondsConv": t.function(t.name),
      "Json Logfmt Unpack Pattern Regexp Unwrap LabelFormat LineFormat Decolorize Drop Keep": t.keyword,
      "By Without And Or Unless Bool On Ignoring GroupLeft GroupRight Offset": t.keyword,
    })],
  }),
  languageData: { closeBrackets: { brackets: ["(", "[", "{", '"', "`"] }, commentTokens: { line: "#" } },
});

const colours = HighlightStyle.define([
  { tag: t.string, color: "var(--syn-string)" },
  { tag: t.number, color: "var(--syn-number)" },
  { tag: t.lineComment, color: "var(--text-3)", fontStyle: "italic" },
  { tag: t.propertyName, color: "var(--syn-label)" },
  { tag: t.operator, color: "var(--text-2)" },
  { tag: t.function(t.name), color: "var(--syn-function)" },
  { tag: t.keyword, color: "var(--syn-keyword)" },
]);

const setMark = StateEffect.define<Span | null>();
const mark = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(old, tr) {
    for (const e of tr.effects) {
      if (!e.is(setMark)) continue;
      if (!e.value || e.value.to > tr.newDoc.length || e.value.from >= e.value.to) return Decoration.none;
      return Decoration.set(Decoration.mark({ class: "query-error-mark" }).range(e.value.from, e.value.to));
    }
    return tr.docChanged ? Decoration.none : old;
  },
  provide: (f) => EditorView.decorations.from(f),
});

/** Metadata and parsed fields of the lines on the screen, the best guess at what a filter may name. */
function fieldNames(): string[] {
  const names = new Set<string>();
  for (const r of rows.value.slice(0, 200)) {
    for (const k of Object.keys(r.meta)) names.add(k);
    for (const k of Object.keys(r.parsed)) names.add(k);
  }
  return [...names].sort();
}

function fieldValues(name: string): string[] {
  const values = new Set<string>();
  for (const r of rows.value.slice(0, 500)) {
    const v = r.parsed[name] ?? r.meta[name];
    if (typeof v === "string" && v.length < 80) values.add(v);
  }
  return [...values].sort();
}

async function complete(ctx: CompletionContext): Promise<CompletionResult | null> {
  const at = cursorContext(ctx.state.doc.toString(), ctx.pos);
  const typed = ctx.pos > at.from;
  switch (at.kind) {
    case "label":
      return {
        from: at.from,
        validFor: /^\w*$/,
        options: labels.value.map((label) => ({ label, type: "property", apply: openValue })),
      };
    case "value": {
      const { from, to } = resolve(page.value.range, Date.now());
      const found = at.inSelector ? await labelValues(at.name, toNs(from), toNs(to)).catch(() => []) : fieldValues(at.name);
      return {
        from: at.from,
        validFor: /^[^"`]*$/,
        options: found.slice(0, 500).map((v) => ({ label: v, type: "text", apply: quote(v).slice(1, -1) })),
      };
    }
    case "stage":
      return {
        from: at.from,
        validFor: /^\w*$/,
        options: [
          ...STAGES.map((s) => ({ ...s, type: "keyword" })),
          ...fieldNames().map((label) => ({ label, type: "property", detail: "field", apply: openValue })),
        ],
      };
    case "function":
      if (!typed && !ctx.explicit) return null;
      return {
        from: at.from,
        validFor: /^\w*$/,
        options: FUNCTIONS.map((label) => ({ label, type: "function", apply: `${label}(` })),
      };
    case "none":
      return null;
  }
}

/** Writes `name=""` with the cursor between the quotes and offers the values. */
function openValue(view: EditorView, c: Completion, from: number, to: number): void {
  const rest = view.state.sliceDoc(to, to + 2);
  const tail = /^\s*[=!]/.test(rest) ? "" : '=""';
  view.dispatch({
    changes: { from, to, insert: c.label + tail },
    selection: { anchor: from + c.label.length + Math.max(0, tail.length - 1) },
  });
  if (tail !== "") setTimeout(() => startCompletion(view));
}

function runFromEditor(view: EditorView): boolean {
  if (completionStatus(view.state) === "active" && acceptCompletion(view)) return true;
  go({ query: view.state.doc.toString() });
  return true;
}

const dark = new Compartment();

export function QueryBox() {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  useEffect(() => {
    if (!host.current) return;
    const v = new EditorView({
      parent: host.current,
      state: EditorState.create({
        doc: draft.value,
        extensions: [
          Prec.highest(keymap.of([
            { key: "Enter", run: runFromEditor },
            { key: "Mod-Enter", run: (ed) => { go({ query: ed.state.doc.toString() }); return true; } },
            { key: "Shift-Enter", run: insertNewline },
          ])),
          new LanguageSupport(language),
          syntaxHighlighting(colours),
          history(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ override: [complete], icons: false, maxRenderedOptions: 60 }),
          keymap.of([...completionKeymap, ...historyKeymap, ...defaultKeymap]),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": "LogQL query", "aria-describedby": "query-error", spellcheck: "false" }),
          placeholder('{service_name="shop"} |= "error"'),
          mark,
          dark.of(EditorView.darkTheme.of(theme.value === "dark")),
          EditorView.updateListener.of((u) => {
            if (u.docChanged) draft.value = u.state.doc.toString();
          }),
        ],
      }),
    });
    view.current = v;
    // At once and not at the next drawing: by then the person may have typed more.
    const unsubscribe = draft.subscribe((text) => {
      if (v.state.doc.toString() === text) return;
      v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: text }, selection: { anchor: text.length } });
    });
    const focusKey = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement;
      if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey) return;
      if (el.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(el.tagName)) return;
      e.preventDefault();
      v.focus();
    };
    document.addEventListener("keydown", focusKey);
    return () => {
      document.removeEventListener("keydown", focusKey);
      unsubscribe();
      v.destroy();
    };
  }, []);

  const isDark = theme.value === "dark";
  const error = problem.value;
  useEffect(() => {
    view.current?.dispatch({ effects: dark.reconfigure(EditorView.darkTheme.of(isDark)) });
  }, [isDark]);
  const at = error ? parseErrorText(error.text) : null;
  useEffect(() => {
    const v = view.current;
    if (!v) return;
    const same = error && v.state.doc.toString() === error.query;
    v.dispatch({ effects: setMark.of(same && at ? errorSpan(error.query, at) : null) });
  }, [error]);

  return (
    <div class="query">
      <div class={`query-box ${error ? "bad" : ""}`}>
        <div class="query-editor" ref={host} />
        <button type="button" class="button primary run" title="Run the query (Enter)" aria-label="Run the query"
          onClick={() => go({})}>
          <Play /><span>Run</span>
        </button>
        {loading.value && <div class="progress" role="progressbar" aria-label="Query running" />}
      </div>
      <div id="query-error" class="query-error" role="alert">
        {error && (
          <>
            <strong>{at ? `Line ${at.line}, column ${at.col}` : "Query failed"}</strong> {at ? at.message : error.text}
          </>
        )}
      </div>
    </div>
  );
}
