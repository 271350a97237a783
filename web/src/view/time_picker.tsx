import { useState } from "preact/hooks";
import { fixedRange, formatInstant, lastRange, QUICK_RANGES, rangeName, resolve } from "../lib/time";
import { REFRESH_CHOICES } from "../lib/urlstate";
import { go, page, show } from "../state";
import { Chevron, Clock } from "./icons";
import { Popover } from "./parts";

export function TimePicker() {
  const { range } = page.value;
  return (
    <Popover
      title="Time range"
      label={<>
        <Clock />
        <span class="range-name wide-only">{rangeName(range)}</span>
        <span class="narrow-only">{range.kind === "last" ? range.text : "Fixed"}</span>
        <Chevron />
      </>}
      panel={(close) => <Panel close={close} />}
    />
  );
}

function Panel({ close }: { close: () => void }) {
  const now = resolve(page.value.range, Date.now());
  const [from, setFrom] = useState(formatInstant(now.from));
  const [to, setTo] = useState(formatInstant(now.to));
  const [error, setError] = useState("");
  const quick = (text: string) => {
    const range = lastRange(text);
    if (range) go({ range });
    close();
  };
  const apply = (e: Event) => {
    e.preventDefault();
    const range = fixedRange(from, to, Date.now());
    if (typeof range === "string") return setError(range);
    go({ range });
    close();
  };
  const current = page.value.range;
  return (
    <>
      <div class="quick-ranges">
        {QUICK_RANGES.map((q) => (
          <button type="button" key={q.text} onClick={() => quick(q.text)}
            aria-pressed={current.kind === "last" && current.text === q.text}>
            {q.name}
          </button>
        ))}
      </div>
      <form class="fixed-range" onSubmit={apply}>
        <label>From<input value={from} spellcheck={false} onInput={(e) => setFrom(e.currentTarget.value)} /></label>
        <label>To<input value={to} spellcheck={false} onInput={(e) => setTo(e.currentTarget.value)} /></label>
        {error && <p class="field-error" role="alert">{error}</p>}
        <button type="submit" class="button primary">Apply</button>
        <p class="hint">Local time, ISO 8601, Unix time, or <code>now-1h</code>.</p>
      </form>
    </>
  );
}

export function RefreshPicker() {
  const fixed = page.value.range.kind === "fixed";
  return (
    <label class="select" title={fixed ? "A fixed time range does not refresh" : "Refresh automatically"}>
      <span class={`pulse ${!fixed && page.value.refresh > 0 ? "on" : ""}`} aria-hidden="true" />
      <select aria-label="Refresh automatically" disabled={fixed} value={String(page.value.refresh)}
        onChange={(e) => show({ refresh: Number(e.currentTarget.value) })}>
        {REFRESH_CHOICES.map((s) => <option key={s} value={String(s)}>{s === 0 ? "Off" : `${s} s`}</option>)}
      </select>
      <Chevron />
    </label>
  );
}
