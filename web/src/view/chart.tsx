// A metric query's answer: a line per series and a legend with their last and highest values.
import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import { count, short } from "../lib/format";
import { go, chart as answer, type Chart } from "../state";
import { formatClock } from "../lib/time";
import { useWidth } from "./parts";
import { axes } from "./plot";
import { cssColor, theme } from "./theme";

/** More lines than this cannot be told apart; the highest are drawn. */
const DRAWN = 40;
const HUES = 8;

interface Line {
  name: string;
  values: (number | null)[];
  last: number | null;
  max: number;
}

function seriesName(metric: Record<string, string>): string {
  const pairs = Object.entries(metric);
  if (pairs.length === 1 && pairs[0]) return pairs[0][1] || `${pairs[0][0]}=""`;
  return pairs.length === 0 ? "value" : "{" + pairs.map(([k, v]) => `${k}=${JSON.stringify(v)}`).join(", ") + "}";
}

function prepare(c: Chart): { times: number[]; lines: Line[] } {
  const first = Math.floor(c.from / 1000 / c.step) * c.step;
  const n = Math.max(1, Math.ceil((c.to / 1000 - first) / c.step) + 1);
  const times = Array.from({ length: n }, (_x, i) => first + i * c.step);
  const lines = c.series.map((s) => {
    const values = new Array<number | null>(n).fill(null);
    let last: number | null = null;
    let max = -Infinity;
    for (const [t, text] of s.values) {
      const i = Math.round((t - first) / c.step);
      const v = Number(text);
      if (i < 0 || i >= n || !Number.isFinite(v)) continue;
      values[i] = v;
      last = v;
      max = Math.max(max, v);
    }
    return { name: seriesName(s.metric), values, last, max };
  });
  lines.sort((a, b) => b.max - a.max || (a.name < b.name ? -1 : 1));
  return { times, lines };
}

function value(v: number | null | undefined): string {
  return v === null || v === undefined || !Number.isFinite(v) ? "–" : short(v);
}

export function MetricChart({ chart }: { chart: Chart }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const [only, setOnly] = useState<string | null>(null);
  const [hover, setHover] = useState<number | null>(null);
  const dark = theme.value;
  const { times, lines } = prepare(chart);
  const drawn = lines.slice(0, DRAWN);
  const names = drawn.map((l) => l.name).join("\n");
  const data: uPlot.AlignedData = [times, ...drawn.map((l) => l.values)];
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    if (!box.current || width === 0) return;
    const u = new uPlot(
      {
        width,
        height: 300,
        padding: [10, 18, 0, 0],
        legend: { show: false },
        axes: axes(),
        scales: {
          x: { time: true, range: () => {
            const c = answer.value;
            return c ? [c.from / 1000, c.to / 1000] : [0, 1];
          } },
          y: { range: (_u, min, max) => [Math.min(0, min || 0), (max || 1) * 1.06] },
        },
        series: [{}, ...drawn.map((l, i) => ({
          label: l.name,
          stroke: cssColor(`--hue-${i % HUES}`),
          width: 1.5,
          ...(i >= HUES ? { dash: [4, 3] } : {}),
          show: only === null || only === l.name,
          spanGaps: false,
        }))],
        cursor: { y: false, focus: { prox: 24 }, drag: { x: true, y: false, setScale: false } },
        focus: { alpha: 0.25 },
        hooks: {
          setCursor: [(p) => setHover((p.cursor.left ?? -1) < 0 ? null : (p.cursor.idx ?? null))],
          setSelect: [(p) => {
            if (p.select.width < 4) return;
            const from = Math.round(p.posToVal(p.select.left, "x") * 1000);
            const to = Math.round(p.posToVal(p.select.left + p.select.width, "x") * 1000);
            p.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (to > from) go({ range: { kind: "fixed", from, to } });
          }],
        },
      },
      latest.current,
      box.current,
    );
    plot.current = u;
    return () => {
      plot.current = null;
      u.destroy();
    };
  }, [width, dark, names, only]);

  useEffect(() => plot.current?.setData(latest.current), [chart]);

  return (
    <section class="metric" aria-label="Metric">
      <div class="plot" ref={box} style={{ height: 300 }} role="img"
        aria-label={`Line chart of ${count(lines.length)} series. The table below lists them.`} />
      <table class="series">
        <thead><tr><th>Series</th><th>{hover === null ? "Last" : formatClock((times[hover] ?? 0) * 1000, false)}</th><th>Max</th></tr></thead>
        <tbody>
          {drawn.map((l, i) => (
            <tr key={l.name} class={only !== null && only !== l.name ? "off" : ""}>
              <td>
                <button type="button" aria-pressed={only === l.name} title={only === l.name ? "Show all series" : "Show only this series"}
                  onClick={() => setOnly(only === l.name ? null : l.name)}>
                  <i class="swatch" style={{ background: `var(--hue-${i % HUES})` }} /><span>{l.name}</span>
                </button>
              </td>
              <td>{value(hover === null ? l.last : l.values[hover])}</td>
              <td>{value(l.max)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > DRAWN && <p class="hint">{count(lines.length - DRAWN)} more series are not drawn. topk() picks the highest.</p>}
    </section>
  );
}
