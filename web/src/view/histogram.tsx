// Lines per time and level, stacked with the gravest at the bottom. Dragging over it zooms in.
import uPlot from "uplot";
import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "../lib/format";
import { LEVELS, type Level, type Volume } from "../lib/level";
import { formatClock, formatDay } from "../lib/time";
import { go, selectedLevels, span, toggleLevel, volume } from "../state";
import { useWidth } from "./parts";
import { axes } from "./plot";
import { cssColor, mix, theme } from "./theme";

const HEIGHT = 116;

/** Sums from the bottom up; the plot draws the tallest first and the lower ones over it. */
function stack(v: Volume): uPlot.AlignedData {
  const sum = new Array<number>(v.times.length).fill(0);
  const layers: number[][] = [];
  for (const level of LEVELS) {
    const row = v.counts.get(level);
    if (row) row.forEach((n, i) => (sum[i] = (sum[i] ?? 0) + n));
    layers.unshift([...sum]);
  }
  return [v.times, ...layers];
}

export function Histogram() {
  const v = volume.value;
  const [box, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(v);
  latest.current = v;
  const [tip, setTip] = useState<{ left: number; index: number } | null>(null);
  const dark = theme.value;
  const chosen = selectedLevels.value;
  const chosenRef = useRef(chosen);
  chosenRef.current = chosen;

  useEffect(() => {
    if (!box.current || width === 0) return;
    // Faded by mixing, because layers lie on each other and a transparent one would show those behind it.
    const paper = cssColor("--bg");
    const colours = new Map(LEVELS.map((l) => [l, cssColor(`--level-${l}`)]));
    const faded = new Map([...colours].map(([l, c]) => [l, mix(c, paper, 0.72)]));
    const fill = (l: Level) => () => {
      const c = chosenRef.current;
      return (c.size > 0 && !c.has(l) ? faded : colours).get(l) ?? "";
    };
    const bars = uPlot.paths.bars?.({ size: [0.86, 60], align: -1 });
    const u = new uPlot(
      {
        width,
        height: HEIGHT,
        padding: [6, 18, 0, 0],
        legend: { show: false },
        axes: axes(),
        scales: {
          x: { time: true, range: () => {
            const now = latest.current;
            const from = now?.times[0] ?? span.value.from / 1000;
            return [from - (now?.step ?? 0), now?.times[now.times.length - 1] ?? span.value.to / 1000];
          } },
          y: { range: (_u, _min, max) => [0, Math.max(max || 0, 4) * 1.08] },
        },
        series: [{}, ...[...LEVELS].reverse().map((l) => ({
          fill: fill(l), width: 0, points: { show: false }, ...(bars ? { paths: bars } : {}),
        }))],
        cursor: {
          y: false,
          points: { show: false },
          drag: { x: true, y: false, setScale: false },
          // A bar stands to the left of its time.
          dataIdx: (_u, _s, closest, x) => {
            const times = latest.current?.times ?? [];
            const t = times[closest];
            return t !== undefined && t < x && closest + 1 < times.length ? closest + 1 : closest;
          },
        },
        hooks: {
          setCursor: [(p) => {
            const at = p.cursor.left ?? -1;
            const idx = p.cursor.idxs?.[1] ?? null;
            setTip(at < 0 || idx === null || p.select.width > 0 ? null : { left: at + p.bbox.left / devicePixelRatio, index: idx });
          }],
          setSelect: [(p) => {
            if (p.select.width < 4) return;
            const from = Math.round(p.posToVal(p.select.left, "x") * 1000);
            const to = Math.round(p.posToVal(p.select.left + p.select.width, "x") * 1000);
            p.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            if (to > from) go({ range: { kind: "fixed", from, to } });
          }],
        },
      },
      latest.current ? stack(latest.current) : [[]],
      box.current,
    );
    plot.current = u;
    return () => {
      plot.current = null;
      u.destroy();
    };
  }, [width, dark]);

  useEffect(() => {
    if (v) plot.current?.setData(stack(v));
  }, [v, chosen]);

  const total = v ? [...v.totals.values()].reduce((a, b) => a + b, 0) : 0;
  const present = LEVELS.filter((l) => v?.totals.has(l) || chosen.has(l));
  const words = present.map((l) => `${count(v?.totals.get(l) ?? 0)} ${l}`).join(", ");
  return (
    <section class="volume" aria-label="Log volume">
      <div class="plot" ref={box} style={{ height: HEIGHT }} role="img"
        aria-label={`Lines over time: ${count(total)} in all; ${words || "none"}. Drag to zoom.`} />
      {tip && v && <Tip v={v} index={tip.index} left={tip.left} width={width} />}
      <div class="levels" role="group" aria-label="Filter by level">
        {present.map((l) => (
          <button type="button" key={l} class={`level-toggle ${chosen.size > 0 && !chosen.has(l) ? "off" : ""}`}
            aria-pressed={chosen.has(l)} title={chosen.has(l) ? `Stop filtering for ${l}` : `Show only ${l}`}
            onClick={() => toggleLevel(l)}>
            <i class={`swatch level-${l}`} />{l}<b>{count(v?.totals.get(l) ?? 0)}</b>
          </button>
        ))}
      </div>
    </section>
  );
}

function Tip({ v, index, left, width }: { v: Volume; index: number; left: number; width: number }) {
  const end = (v.times[index] ?? 0) * 1000;
  const begin = end - v.step * 1000;
  const shown = LEVELS.filter((l) => (v.counts.get(l)?.[index] ?? 0) > 0);
  const side = left > width / 2 ? { right: width - left + 12 } : { left: left + 12 };
  return (
    <div class="tip" style={side}>
      <div class="tip-time">{v.step >= 86_400 ? formatDay(begin) + " " : ""}{formatClock(begin, false)} – {formatClock(end, false)}</div>
      {shown.length === 0 && <div class="tip-row">no lines</div>}
      {shown.map((l) => (
        <div class="tip-row" key={l}>
          <i class={`swatch level-${l}`} /><span>{l}</span><b>{count(v.counts.get(l)?.[index] ?? 0)}</b>
        </div>
      ))}
    </div>
  );
}
