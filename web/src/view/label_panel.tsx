// The label picker. It has no state of its own about what is chosen: the boxes show what the selector in the
// query box says, and ticking one edits that text.
import { useEffect, useState } from "preact/hooks";
import { labelValues, queryNow } from "../lib/api";
import { count } from "../lib/format";
import { findSelector, selectedValues, selectorText, setLabelValues } from "../lib/logql";
import { resolve, stepText, toNs } from "../lib/time";
import { draft, go, labels, loadLabels, page, runs } from "../state";
import { Right } from "./icons";

/** Longer lists are for the search box. */
const SHOWN = 100;

interface Values {
  names: string[];
  /** Lines per value under the rest of the selector; null while unknown. */
  counts: Map<string, number> | null;
}

/** Labels change slowly and counting costs the server: look again twice a minute, not at each refresh. */
function halfMinute(): number {
  return runs.value > 0 ? Math.floor(Date.now() / 30_000) : 0;
}

async function loadValues(label: string): Promise<Values> {
  const { from, to } = resolve(page.value.range, Date.now());
  const names = await labelValues(label, toNs(from), toNs(to + 1000));
  return { names, counts: null };
}

async function loadCounts(label: string): Promise<Map<string, number>> {
  const { from, to } = resolve(page.value.range, Date.now());
  const others = (findSelector(page.value.query)?.matchers ?? []).filter((m) => m.name !== label);
  const selector = selectorText([...others, { name: label, op: "=~", value: ".+" }]);
  const span = stepText(Math.max(1, Math.round((to - from) / 1000)));
  const data = await queryNow(`sum by (${label}) (count_over_time(${selector}[${span}]))`, toNs(to));
  const counts = new Map<string, number>();
  if (data.resultType === "vector") {
    for (const s of data.result) counts.set(s.metric[label] ?? "", Number(s.value[1]));
  }
  return counts;
}

export function LabelPanel() {
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set(["service_name"]));
  const range = page.value.range;
  const refresh = halfMinute();
  useEffect(() => void loadLabels(), [range, refresh]);
  const names = labels.value;
  const needle = search.trim().toLowerCase();
  const toggle = (name: string) => {
    const next = new Set(open);
    if (!next.delete(name)) next.add(name);
    setOpen(next);
  };
  return (
    <nav class="labels" aria-label="Labels">
      <input class="search" type="search" placeholder="Find labels and values" aria-label="Find labels and values"
        value={search} onInput={(e) => setSearch(e.currentTarget.value)} />
      <div class="label-list">
        {names.length === 0 && <p class="hint">No labels in this time range.</p>}
        {names.map((name) => (
          <Label key={name} name={name} needle={needle} open={open.has(name)} onToggle={() => toggle(name)} />
        ))}
      </div>
      <a class="licenses hint" href="./licenses.txt">Licences of the packages used</a>
    </nav>
  );
}

function Label({ name, needle, open, onToggle }: { name: string; needle: string; open: boolean; onToggle: () => void }) {
  const [values, setValues] = useState<Values | null>(null);
  const [failed, setFailed] = useState(false);
  const wanted = open || needle !== "";
  const { range, query } = page.value;
  const refresh = halfMinute();
  useEffect(() => {
    if (!wanted) return;
    let stale = false;
    loadValues(name)
      .then(async (v) => {
        if (stale) return;
        setFailed(false);
        setValues((old) => ({ ...v, counts: old?.counts ?? null }));
        const counts = await loadCounts(name).catch(() => null);
        if (!stale) setValues({ ...v, counts });
      })
      .catch(() => {
        if (!stale) setFailed(true);
      });
    return () => {
      stale = true;
    };
  }, [name, wanted, range, query, refresh]);

  const chosen = selectedValues(draft.value, name);
  const all = values ? [...new Set([...chosen, ...values.names])] : chosen;
  const nameHit = name.toLowerCase().includes(needle);
  const hits = needle === "" || nameHit ? all : all.filter((v) => v.toLowerCase().includes(needle));
  if (needle !== "" && !nameHit && hits.length === 0) return null;
  const expanded = open || (needle !== "" && !nameHit);
  const choose = (value: string) => {
    const next = chosen.includes(value) ? chosen.filter((v) => v !== value) : [...chosen, value];
    go({ query: setLabelValues(draft.value, name, next) });
  };
  return (
    <section class="label">
      <button type="button" class="label-name" aria-expanded={expanded} onClick={onToggle}>
        <Right />
        <span>{name}</span>
        {chosen.length > 0 && <b class="chosen">{chosen.length}</b>}
        {chosen.length === 0 && values && <small>{values.names.length}</small>}
      </button>
      {expanded && (
        <ul>
          {failed && <li class="hint">Values could not be loaded.</li>}
          {hits.slice(0, SHOWN).map((v) => {
            const n = values?.counts ? (values.counts.get(v) ?? 0) : null;
            return (
              <li key={v}>
                <label class={n === 0 ? "none" : ""} title={v}>
                  <input type="checkbox" checked={chosen.includes(v)} onChange={() => choose(v)} />
                  <span>{v === "" ? "(empty)" : v}</span>
                  {n !== null && <small>{count(n)}</small>}
                </label>
              </li>
            );
          })}
          {hits.length > SHOWN && <li class="hint">{count(hits.length - SHOWN)} more; type to find them.</li>}
        </ul>
      )}
    </section>
  );
}
