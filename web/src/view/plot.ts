// What both plots share: the axes and how they follow theme and width.
import type uPlot from "uplot";
import { short } from "../lib/format";
import { formatClock, formatDay } from "../lib/time";
import { cssColor } from "./theme";

const FONT = "11px system-ui, sans-serif";

export function axes(): uPlot.Axis[] {
  const text = cssColor("--text-3");
  const grid = { stroke: cssColor("--grid"), width: 1 };
  const common = { stroke: text, font: FONT, ticks: { show: false } };
  return [
    { ...common, size: 22, gap: 4, space: 80, grid: { show: false }, values: (_u, splits) => clockLabels(splits) },
    { ...common, size: 44, gap: 4, space: 26, grid, values: (_u, splits) => splits.map((v) => short(v)) },
  ];
}

/** Clock times, with the day where a new one begins; days only when the marks are whole days. */
function clockLabels(splits: number[]): string[] {
  const [a, b] = splits;
  const gap = a !== undefined && b !== undefined ? b - a : 0;
  let day = splits.length > 0 ? formatDay((splits[0] ?? 0) * 1000) : "";
  return splits.map((s) => {
    const today = formatDay(s * 1000);
    const fresh = today !== day;
    day = today;
    if (gap >= 86_400 || fresh) return today.slice(5);
    const clock = formatClock(s * 1000, false);
    return gap < 60 ? clock : clock.slice(0, 5);
  });
}
