// A record opened: the whole line and its labels in the groups the store keeps them in.
import { useMemo } from "preact/hooks";
import { count } from "../lib/format";
import { prettyJson } from "../lib/json";
import { excludeLabelValue, filterField, setLabelValues } from "../lib/logql";
import { plain, type Labels, type Row } from "../lib/rows";
import { formatNs } from "../lib/time";
import { draft, go } from "../state";
import { Cross, Minus, Plus } from "./icons";
import { CopyButton } from "./parts";

type Kind = "label" | "field";

/** More than this at once makes a browser slow. */
const LONGEST = 100_000;

export function Details({ row, onClose }: { row: Row; onClose: () => void }) {
  const text = useMemo(() => plain(row.line).trimEnd(), [row.line]);
  const json = useMemo(() => (text.length > LONGEST ? null : prettyJson(text)), [text]);
  return (
    <div class="details">
      <div class="details-bar">
        <span class="muted">{formatNs(row.ns, row.ms)}</span>
        <span class="grow" />
        <CopyButton text={() => row.line} title="Copy the line">Copy line</CopyButton>
        <CopyButton text={() => asJson(row)} title="Copy line, time and all labels as JSON">Copy as JSON</CopyButton>
        <button type="button" class="icon-button" title="Close (Esc)" aria-label="Close details" onClick={onClose}><Cross /></button>
      </div>
      <pre class="whole">
        {json
          ? json.map((t) => (t.kind === "mark" ? t.text : <span class={`json-${t.kind}`}>{t.text}</span>))
          : text.slice(0, LONGEST) || "(empty line)"}
        {text.length > LONGEST && <em>{`… ${count(text.length - LONGEST)} more characters. “Copy line” has them all.`}</em>}
      </pre>
      <Group title="Labels" kind="label" items={row.labels} />
      <Group title="Structured metadata" kind="field" items={row.meta} />
      <Group title="Parsed from the line" kind="field" items={row.parsed} />
    </div>
  );
}

function asJson(row: Row): string {
  return JSON.stringify(
    { time: formatNs(row.ns, row.ms), ns: row.ns, line: row.line, labels: row.labels, metadata: row.meta, parsed: row.parsed },
    null, 2,
  );
}

function Group({ title, kind, items }: { title: string; kind: Kind; items: Labels }) {
  const names = Object.keys(items).sort();
  if (names.length === 0) return null;
  return (
    <section class="group" aria-label={title}>
      <h3>{title}</h3>
      <dl>
        {names.map((name) => <Pair key={name} name={name} value={items[name] ?? ""} kind={kind} />)}
      </dl>
    </section>
  );
}

function Pair({ name, value, kind }: { name: string; value: string; kind: Kind }) {
  const filter = (keep: boolean) => {
    const q = draft.value;
    if (kind === "field") go({ query: filterField(q, name, value, keep) });
    else go({ query: keep ? setLabelValues(q, name, [value]) : excludeLabelValue(q, name, value) });
  };
  // A name LogQL cannot spell cannot be filtered on.
  const spellable = /^[A-Za-z_]\w*$/.test(name);
  return (
    <div class="pair">
      <div class="pair-buttons">
        <button type="button" class="icon-button" disabled={!spellable} title="Filter for this value"
          aria-label={`Filter for ${name} = ${value}`} onClick={() => filter(true)}><Plus /></button>
        <button type="button" class="icon-button" disabled={!spellable} title="Filter out this value"
          aria-label={`Filter out ${name} = ${value}`} onClick={() => filter(false)}><Minus /></button>
        <CopyButton text={() => value} title={`Copy the value of ${name}`} />
      </div>
      <dt>{name}</dt>
      <dd class={value.includes("\n") ? "block" : ""}>{value === "" ? <em>empty</em> : value}</dd>
    </div>
  );
}
