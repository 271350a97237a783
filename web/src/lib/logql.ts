// Reading and editing LogQL text.
//
// The page never keeps a query in any other form than its text: the label picker, the level legend and the
// filter buttons all edit the text, so what one sees in the box is what runs. The grammar's own parser gives
// the positions; it is error-tolerant, so half-typed queries can be edited too.
import { parser } from "@grafana/lezer-logql";
import type { SyntaxNode, Tree } from "@lezer/common";

export type Op = "=" | "!=" | "=~" | "!~";

export interface Matcher {
  name: string;
  op: Op;
  value: string;
}

export interface Selector {
  from: number;
  to: number;
  matchers: Matcher[];
}

/** The matcher that selects every stream, used where LogQL insists on one. */
export const MATCH_ALL: Matcher = { name: "service_name", op: "=~", value: ".+" };

const PARSER_STAGES = new Set(["LabelParser", "JsonExpressionParser", "LogfmtParser", "LogfmtExpressionParser"]);

export function quote(s: string): string {
  return JSON.stringify(s);
}

const SIMPLE_ESCAPES: Record<string, string> = {
  a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\", '"': '"', "'": "'",
};

/** Undoes a LogQL string literal: a raw one in backticks or one with Go's escapes. */
export function unquote(literal: string): string {
  if (literal.startsWith("`")) return literal.slice(1, literal.endsWith("`") && literal.length > 1 ? -1 : undefined);
  const body = literal.slice(1, literal.endsWith('"') && literal.length > 1 ? -1 : undefined);
  return body.replace(
    /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/gs,
    (all, x?: string, u?: string, big?: string, octal?: string, c?: string) => {
      const hex = x ?? u ?? big;
      if (hex !== undefined) return codePoint(parseInt(hex, 16), all);
      if (octal !== undefined) return codePoint(parseInt(octal, 8), all);
      return SIMPLE_ESCAPES[c ?? ""] ?? all;
    },
  );
}

function codePoint(n: number, otherwise: string): string {
  return n <= 0x10ffff ? String.fromCodePoint(n) : otherwise;
}

/** Makes `s` match itself in RE2. */
export function escapeRe2(s: string): string {
  return s.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");
}

/** `a|b\.c` -> ["a", "b.c"]; null when the pattern is more than a choice between plain texts. */
export function alternatives(pattern: string): string[] | null {
  const out: string[] = [];
  let word = "";
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern.charAt(i);
    if (c === "\\") {
      const next = pattern.charAt(++i);
      if (!/[\\.+*?()|[\]{}^$/\-"']/.test(next)) return null;
      word += next;
    } else if (c === "|") {
      out.push(word);
      word = "";
    } else if (/[.+*?()[\]{}^$]/.test(c)) {
      return null;
    } else {
      word += c;
    }
  }
  out.push(word);
  return out;
}

/** One matcher that accepts exactly `values`. */
export function matcherFor(name: string, values: readonly string[]): Matcher {
  const [first] = values;
  if (values.length === 1 && first !== undefined) return { name, op: "=", value: first };
  return { name, op: "=~", value: values.map(escapeRe2).join("|") };
}

export function matcherText(m: Matcher): string {
  return m.name + m.op + quote(m.value);
}

export function selectorText(matchers: readonly Matcher[]): string {
  return "{" + matchers.map(matcherText).join(", ") + "}";
}

// Editing and drawing ask about the same text many times in a row.
let parsed: { query: string; tree: Tree } | undefined;
function parse(query: string): Tree {
  if (parsed?.query !== query) parsed = { query, tree: parser.parse(query) };
  return parsed.tree;
}

function findFirst(node: SyntaxNode, name: string): SyntaxNode | null {
  if (node.name === name) return node;
  for (let c = node.firstChild; c; c = c.nextSibling) {
    const hit = findFirst(c, name);
    if (hit) return hit;
  }
  return null;
}

function findAll(node: SyntaxNode, name: string, out: SyntaxNode[] = []): SyntaxNode[] {
  if (node.name === name) out.push(node);
  for (let c = node.firstChild; c; c = c.nextSibling) findAll(c, name, out);
  return out;
}

function toMatcher(query: string, node: SyntaxNode): Matcher | null {
  const id = node.getChild("Identifier");
  const str = node.getChild("String");
  if (!id || !str) return null;
  // The grammar's table of keywords also knows the names every JavaScript object has, such as `constructor`, and
  // reads such a label from its second letter on.
  let from = id.from;
  while (from > 0 && /\w/.test(query.charAt(from - 1))) from--;
  const op = query.slice(id.to, str.from).trim();
  if (op !== "=" && op !== "!=" && op !== "=~" && op !== "!~") return null;
  return { name: query.slice(from, id.to), op, value: unquote(query.slice(str.from, str.to)) };
}

/** The first stream selector of the query. */
export function findSelector(query: string): Selector | null {
  const node = findFirst(parse(query).topNode, "Selector");
  if (!node || query.charAt(node.from) !== "{" || query.charAt(node.to - 1) !== "}") return null;
  const matchers = findAll(node, "Matcher")
    .map((m) => toMatcher(query, m))
    .filter((m): m is Matcher => m !== null);
  return { from: node.from, to: node.to, matchers };
}

/** Whether the query yields numbers over time, not lines. */
export function isMetric(query: string): boolean {
  const expr = parse(query).topNode.getChild("Expr");
  if (expr?.getChild("LogExpr")) return false;
  if (expr?.getChild("MetricExpr")) return true;
  return /^\s*[a-z]/i.test(query);
}

/** Whether a stage of the query takes fields out of the line, which may leave `__error__` behind. */
export function hasParser(query: string): boolean {
  let found = false;
  parse(query).iterate({ enter: (n) => { if (PARSER_STAGES.has(n.name)) found = true; } });
  return found;
}

/** Label values the selector asks for by name, empty if it does not restrict the label that way. */
export function selectedValues(query: string, name: string): string[] {
  for (const m of findSelector(query)?.matchers ?? []) {
    if (m.name !== name) continue;
    if (m.op === "=") return [m.value];
    if (m.op === "=~") return alternatives(m.value) ?? [];
  }
  return [];
}

function isMatchAll(m: Matcher): boolean {
  return m.op === "=~" && (m.value === ".+" || m.value === ".*");
}

/** LogQL wants at least one matcher that the empty value does not satisfy. */
function selectsSomething(m: Matcher): boolean {
  return (m.op === "=" && m.value !== "") || (m.op === "=~" && m.value !== ".*" && m.value !== "");
}

function withMatchers(query: string, edit: (old: Matcher[]) => Matcher[]): string {
  const sel = findSelector(query);
  let matchers = edit(sel?.matchers ?? []);
  if (matchers.some((m) => selectsSomething(m) && !isMatchAll(m))) matchers = matchers.filter((m) => !isMatchAll(m));
  if (!matchers.some(selectsSomething)) matchers = [MATCH_ALL, ...matchers.filter((m) => !isMatchAll(m))];
  const text = selectorText(matchers);
  return sel ? query.slice(0, sel.from) + text + query.slice(sel.to) : text;
}

/** Makes the selector accept exactly `values` of a label; no values lifts the restriction. */
export function setLabelValues(query: string, name: string, values: readonly string[]): string {
  return withMatchers(query, (old) => {
    const at = old.findIndex((m) => m.name === name && (m.op === "=" || m.op === "=~"));
    const rest = old.filter((m) => !(m.name === name && (m.op === "=" || m.op === "=~")));
    if (values.length > 0) rest.splice(at < 0 ? rest.length : Math.min(at, rest.length), 0, matcherFor(name, values));
    return rest;
  });
}

/** Adds `name != value`. */
export function excludeLabelValue(query: string, name: string, value: string): string {
  const kept = selectedValues(query, name);
  if (kept.includes(value)) return setLabelValues(query, name, kept.filter((v) => v !== value));
  return withMatchers(query, (old) =>
    old.some((m) => m.name === name && m.op === "!=" && m.value === value)
      ? old
      : [...old, { name, op: "!=", value }],
  );
}

function pipelineEnd(query: string): number | null {
  const sel = findFirst(parse(query).topNode, "Selector");
  if (!sel) return null;
  let end = sel.to;
  for (let n = sel.nextSibling; n; n = n.nextSibling) if (n.name === "PipelineExpr") end = n.to;
  return end;
}

/** Appends a pipeline stage such as `| user="u1"` to the first log expression, unless it is there. */
export function addStage(query: string, stage: string): string {
  if (findStage(query, stage)) return query;
  const end = pipelineEnd(query);
  return end === null ? query : query.slice(0, end) + " " + stage + query.slice(end);
}

function findStage(query: string, stage: string): SyntaxNode | undefined {
  return findAll(parse(query).topNode, "PipelineStage").find((n) => query.slice(n.from, n.to) === stage);
}

export function removeStage(query: string, stage: string): string {
  const node = findStage(query, stage);
  return node ? cut(query, node) : query;
}

function cut(query: string, node: { from: number; to: number }): string {
  const before = query.slice(0, node.from).trimEnd();
  const after = query.slice(node.to);
  return before + (after === "" || /^[\s[)]/.test(after) ? after : " " + after);
}

/** Keeps (or drops) records whose metadata or parsed field `key` has this value. */
export function filterField(query: string, key: string, value: string, keep: boolean): string {
  const stage = (op: Op) => `| ${key}${op}${quote(value)}`;
  return addStage(removeStage(query, stage(keep ? "!=" : "=")), stage(keep ? "=" : "!="));
}

/** Splits off the stage that filters on the level labels only, the one the legend writes. */
export function splitLevelStage(query: string): { rest: string; matchers: Matcher[] } {
  for (const stage of findAll(parse(query).topNode, "PipelineStage")) {
    const filter = stage.getChild("LabelFilter");
    if (!filter) continue;
    const found = findAll(filter, "Matcher").map((m) => toMatcher(query, m));
    const matchers = found.filter((m): m is Matcher => m !== null && /^(detected_)?level$/.test(m.name));
    if (matchers.length === 0 || matchers.length < findAll(filter, "Identifier").length) continue;
    if (matchers.some((m) => m.op !== "=" && m.op !== "=~")) continue;
    return { rest: cut(query, stage), matchers };
  }
  return { rest: query, matchers: [] };
}

/** Plain texts the line filters look for, to be marked in the lines. */
export function searchedTexts(query: string): string[] {
  const out = new Set<string>();
  for (const filter of findAll(parse(query).topNode, "LineFilter")) {
    const op = filter.getChild("Filter");
    if (!op) continue;
    const exact = op.getChild("PipeExact") !== null;
    if (!exact && op.getChild("PipeMatch") === null) continue;
    for (const str of findAll(filter, "String")) {
      const text = unquote(query.slice(str.from, str.to));
      for (const t of exact ? [text] : (alternatives(text.replace(/^\(\?i\)/, "")) ?? [])) if (t !== "") out.add(t);
    }
  }
  return [...out];
}

export type Context =
  | { kind: "label" | "stage" | "function"; from: number }
  | { kind: "value"; from: number; name: string; inSelector: boolean }
  | { kind: "none"; from: number };

/** What a completion at `pos` should offer, and from where the typed word starts. */
export function cursorContext(query: string, pos: number): Context {
  const none: Context = { kind: "none", from: pos };
  let inSelector = false;
  let quoteChar = "";
  let stringAt = 0;
  for (let i = 0; i < pos; i++) {
    const c = query.charAt(i);
    if (quoteChar !== "") {
      if (c === "\\" && quoteChar === '"') i++;
      else if (c === quoteChar) quoteChar = "";
    } else if (c === '"' || c === "`") {
      quoteChar = c;
      stringAt = i;
    } else if (c === "#") {
      const eol = query.indexOf("\n", i);
      if (eol < 0 || eol >= pos) return none;
      i = eol;
    } else if (c === "{") {
      inSelector = true;
    } else if (c === "}") {
      inSelector = false;
    }
  }
  if (quoteChar !== "") {
    const m = /([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*$/.exec(query.slice(0, stringAt));
    return m ? { kind: "value", from: stringAt + 1, name: m[1] ?? "", inSelector } : none;
  }
  const word = /[A-Za-z_]\w*$/.exec(query.slice(0, pos))?.[0] ?? "";
  const from = pos - word.length;
  const before = query.slice(0, from).trimEnd();
  if (inSelector) return /[{,]$/.test(before) ? { kind: "label", from } : none;
  if (before.endsWith("|")) return { kind: "stage", from };
  if (before === "" || before.endsWith("(")) return { kind: "function", from };
  return none;
}
