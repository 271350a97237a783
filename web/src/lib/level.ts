// Log levels. Senders spell them in many ways and put them into one of two labels: `level`, which the sender
// chose, or `detected_level`, which the store worked out. A non-empty `level` wins.
import { alternatives, escapeRe2, quote, type Matcher } from "./logql";

export const LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "unknown"] as const;
export type Level = (typeof LEVELS)[number];

const SPELLINGS = new Map<string, Level>();
for (const [level, words] of [
  ["fatal", "fatal critical crit emerg emergency alert panic"],
  ["error", "error err"],
  ["warn", "warn warning wrn"],
  ["info", "info inf information notice"],
  ["debug", "debug dbg"],
  ["trace", "trace trc verbose"],
] as const) {
  for (const w of words.split(" ")) SPELLINGS.set(w, level);
}

export function canonicalLevel(raw: string | undefined): Level {
  return SPELLINGS.get((raw ?? "").trim().toLowerCase()) ?? "unknown";
}

/** The two level labels of a series or a record as they came. */
export interface RawLevel {
  level: string;
  detected: string;
}

export function levelOf(raw: RawLevel): Level {
  return canonicalLevel(raw.level !== "" ? raw.level : raw.detected);
}

/** A pipeline stage that keeps just these levels, written with the spellings seen in the data. */
export function levelStage(levels: readonly Level[], seen: readonly RawLevel[]): string | null {
  const byLevel = new Set<string>();
  const byDetected = new Set<string>();
  for (const raw of seen) {
    if (!levels.includes(levelOf(raw))) continue;
    if (raw.level !== "") byLevel.add(raw.level);
    else byDetected.add(raw.detected);
  }
  const anyLevel = seen.some((raw) => raw.level !== "");
  const parts: string[] = [];
  if (byLevel.size > 0) parts.push(oneOf("level", byLevel));
  if (byDetected.size > 0) {
    const part = oneOf("detected_level", byDetected);
    parts.push(!anyLevel ? part : parts.length > 0 ? `(level="" and ${part})` : `level="" and ${part}`);
  }
  return parts.length > 0 ? "| " + parts.join(" or ") : null;
}

function oneOf(name: string, values: Set<string>): string {
  const list = [...values].sort();
  const [only] = list;
  if (list.length === 1 && only !== undefined) return name + "=" + quote(only);
  return name + "=~" + quote(list.map(escapeRe2).join("|"));
}

/** The levels a stage made by levelStage() keeps. */
export function levelsOfStage(matchers: readonly Matcher[]): Set<Level> {
  const out = new Set<Level>();
  for (const m of matchers) {
    // `level=""` only says that detected_level decides.
    if (m.name === "level" && m.value === "" && matchers.length > 1) continue;
    for (const v of m.op === "=" ? [m.value] : (alternatives(m.value) ?? [])) out.add(canonicalLevel(v));
  }
  return out;
}

export interface Series {
  metric: Record<string, string>;
  values: [number, string][];
}

export interface Volume {
  /** The end of each bar, in seconds; a bar counts the records of (time - step, time]. */
  times: number[];
  step: number;
  counts: Map<Level, number[]>;
  totals: Map<Level, number>;
  seen: RawLevel[];
}

/** Adds up the series of `sum by (level, detected_level) (count_over_time(...))` per canonical level. */
export function mergeVolume(series: readonly Series[], first: number, last: number, step: number): Volume {
  const times: number[] = [];
  for (let t = first; t <= last + step / 1000; t += step) times.push(t);
  const counts = new Map<Level, number[]>();
  const totals = new Map<Level, number>();
  const seen: RawLevel[] = [];
  for (const s of series) {
    const raw = { level: s.metric["level"] ?? "", detected: s.metric["detected_level"] ?? "" };
    seen.push(raw);
    const level = levelOf(raw);
    const row = counts.get(level) ?? new Array<number>(times.length).fill(0);
    counts.set(level, row);
    for (const [t, text] of s.values) {
      const i = Math.round((t - first) / step);
      const n = Number(text);
      if (i < 0 || i >= row.length || !Number.isFinite(n)) continue;
      row[i] = (row[i] ?? 0) + n;
      totals.set(level, (totals.get(level) ?? 0) + n);
    }
  }
  return { times, step, counts, totals, seen };
}
