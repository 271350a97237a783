import { useEffect, useRef, useState } from "preact/hooks";
import { isMetric } from "./lib/logql";
import { answered, chart, loading, offline, page, problem, rows, run, runs, volume } from "./state";
import { MetricChart } from "./view/chart";
import { Empty, NotRun } from "./view/empty";
import { Histogram } from "./view/histogram";
import { Check, Cross, Link, Logo, Moon, Sun, Tags } from "./view/icons";
import { LabelPanel } from "./view/label_panel";
import { LogList } from "./view/log_list";
import { copyText } from "./view/parts";
import { QueryBox } from "./view/query_box";
import { RefreshPicker, TimePicker } from "./view/time_picker";
import { theme, toggleTheme } from "./view/theme";

/** As in style.css: below this the labels are a drawer. */
const WIDE = "(min-width: 900px)";

export function App() {
  const results = useRef<HTMLElement>(null);
  const [panel, setPanel] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const wide = matchMedia(WIDE);
    const follow = () => setPanel(wide.matches);
    wide.addEventListener("change", follow);
    const close = (e: KeyboardEvent) => {
      if (e.key === "Escape" && !wide.matches) setPanel(false);
    };
    document.addEventListener("keydown", close);
    return () => {
      wide.removeEventListener("change", follow);
      document.removeEventListener("keydown", close);
    };
  }, []);
  const other = theme.value === "dark" ? "light" : "dark";
  return (
    <div class="page">
      <header>
        <a class="brand" href="./" aria-label="Weir, start page"><Logo /><span>Weir</span></a>
        <button type="button" class="button" aria-pressed={panel} title="Show or hide the labels" onClick={() => setPanel(!panel)}>
          <Tags /><span class="wide-only">Labels</span>
        </button>
        <span class="grow" />
        <TimePicker />
        <RefreshPicker />
        <ShareButton />
        <button type="button" class="icon-button" title={`Switch to ${other} colours`} aria-label={`Switch to ${other} colours`}
          onClick={toggleTheme}>
          {theme.value === "dark" ? <Sun /> : <Moon />}
        </button>
      </header>
      <QueryBox />
      {offline.value && <Offline />}
      <div class="columns">
        {panel && (
          <>
            <button type="button" class="drawer-shade" aria-label="Close the labels" onClick={() => setPanel(false)}><Cross /></button>
            <LabelPanel />
          </>
        )}
        <main ref={results} aria-busy={loading.value}>
          <Results scroller={results} />
        </main>
      </div>
    </div>
  );
}

function Results({ scroller }: { scroller: { current: HTMLElement | null } }) {
  if (chart.value) return <MetricChart chart={chart.value} />;
  const none = rows.value.length === 0;
  if (none && problem.value) return <NotRun />;
  // The histogram takes its room before its numbers come, so that the lines do not jump.
  const bars = volume.value ? !none || volume.value.totals.size > 0 : loading.value && !isMetric(page.value.query);
  return (
    <>
      {bars && <Histogram />}
      {!none && <LogList scroller={scroller} />}
      {none && answered.value && !problem.value && !loading.value && <Empty />}
    </>
  );
}

function ShareButton() {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const t = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(t);
  }, [done]);
  const label = done ? "Link copied" : "Copy a link to this view";
  return (
    <button type="button" class="icon-button" title={label} aria-label={label}
      onClick={() => void copyText(location.href).then(setDone)}>
      {done ? <Check /> : <Link />}
    </button>
  );
}

function Offline() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const t = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(t);
  }, []);
  const wait = Math.ceil(((offline.value?.retryAt ?? 0) - now) / 1000);
  return (
    <div class="offline" role="status" data-runs={runs.value}>
      <strong>Server unreachable.</strong> <span>{offline.value?.text}</span>{" "}
      <span class="muted">{wait > 0 ? `Trying again in ${wait} s.` : "Trying…"}</span>
      <button type="button" class="button" onClick={() => void run(true)}>Try now</button>
      {page.value.range.kind === "fixed" ? null : <span class="visually-hidden">Lines shown may be old.</span>}
    </div>
  );
}
