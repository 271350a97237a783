// Log records as the list shows them, made from a `streams` answer and merged over refreshes.
import { levelOf, type Level } from "./level";

export type Labels = Record<string, string>;

export interface Stream {
  stream: Labels;
  values: [string, string, { structuredMetadata?: Labels; parsed?: Labels }?][];
}

export interface Row {
  /** Unique and the same in each answer that holds the record. */
  key: string;
  /** Nanoseconds since the epoch, decimal. */
  ns: string;
  ms: number;
  line: string;
  labels: Labels;
  meta: Labels;
  parsed: Labels;
  level: Level;
  service: string;
}

const NONE: Labels = {};

/** Newest first. */
export function rowsOf(streams: readonly Stream[]): Row[] {
  const rows: Row[] = [];
  const copies = new Map<string, number>();
  for (const s of streams) {
    const streamKey = JSON.stringify(s.stream);
    for (const [ns, line, extra] of s.values) {
      const meta = extra?.structuredMetadata ?? NONE;
      const parsed = extra?.parsed ?? NONE;
      const base = `${ns} ${streamKey} ${JSON.stringify(meta)} ${line}`;
      const copy = copies.get(base) ?? 0;
      copies.set(base, copy + 1);
      const pick = (name: string) => parsed[name] ?? meta[name] ?? s.stream[name] ?? "";
      rows.push({
        key: copy === 0 ? base : `${base} ${copy}`,
        ns,
        ms: Number(ns.slice(0, -6) || "0"),
        line,
        labels: s.stream,
        meta,
        parsed,
        level: levelOf({ level: pick("level"), detected: pick("detected_level") }),
        service: s.stream["service_name"] ?? s.stream["app"] ?? s.stream["job"] ?? Object.values(s.stream)[0] ?? "",
      });
    }
  }
  return rows.sort((a, b) => compareNs(b.ns, a.ns));
}

export function compareNs(a: string, b: string): number {
  return a.length !== b.length ? a.length - b.length : a < b ? -1 : a > b ? 1 : 0;
}

/**
 * What to show after a refresh: `fresh` is the newest part of the range, `full` if the limit cut it off.
 * Older rows loaded before stay, as long as no gap could hide between them and the fresh ones. Rows known
 * already keep their objects, so that the list does not draw them again.
 */
export function mergeRows(old: readonly Row[], fresh: readonly Row[], full: boolean, fromNs: string): Row[] {
  const known = new Map(old.map((r) => [r.key, r]));
  const merged = fresh.map((r) => known.get(r.key) ?? r);
  const oldest = fresh[fresh.length - 1];
  if (!full || !oldest) return merged;
  const newestOld = old[0];
  if (!newestOld || compareNs(newestOld.ns, oldest.ns) < 0) return merged;
  const have = new Set(merged.map((r) => r.key));
  for (const r of old) {
    if (compareNs(r.ns, oldest.ns) <= 0 && compareNs(r.ns, fromNs) >= 0 && !have.has(r.key)) merged.push(r);
  }
  return merged;
}

/** Appends older rows, dropping those at the seam that are there already. */
export function appendOlder(rows: readonly Row[], older: readonly Row[]): Row[] {
  const have = new Set(rows.map((r) => r.key));
  return [...rows, ...older.filter((r) => !have.has(r.key))];
}

export interface Summary {
  first: string;
  /** Lines left out or, with `last`, lines after the first. */
  more: number;
  last: string;
}

/** As much of one line as any window shows; the details have the rest. */
const WIDEST = 4000;
const TALLEST = 40;

/** Without the colour codes of a terminal. */
export function plain(line: string): string {
  return line.includes("\x1b") ? line.replace(/\x1b\[[0-9;:]*[A-Za-z]/g, "") : line;
}

/** A record in one line of the list: its first line, and for a stack trace also the last one, which names it. */
export function summary(line: string): Summary {
  const text = plain(line).trimEnd();
  const end = text.indexOf("\n");
  if (end < 0) return { first: text.slice(0, WIDEST), more: 0, last: "" };
  const start = text.lastIndexOf("\n") + 1;
  let more = 0;
  for (let i = end; i >= 0; i = text.indexOf("\n", i + 1)) more++;
  return { first: text.slice(0, Math.min(end, WIDEST)).trimEnd(), more, last: text.slice(start).trim().slice(0, WIDEST) };
}

/** A record in a wrapping list: all its lines, unless it is very long. */
export function clip(line: string): Summary {
  const lines = plain(line).trimEnd().split("\n");
  const shown = lines.slice(0, TALLEST).join("\n");
  const cut = shown.length > WIDEST ? shown.slice(0, WIDEST) + " …" : shown;
  return { first: cut, more: Math.max(0, lines.length - TALLEST), last: "" };
}
