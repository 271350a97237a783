// Times and time ranges. Instants are milliseconds since the epoch, except in the API, which speaks
// nanoseconds in decimal; those stay strings because a double cannot hold them.

export type Range = { kind: "last"; ms: number; text: string } | { kind: "fixed"; from: number; to: number };

export const QUICK_RANGES: readonly { text: string; name: string }[] = [
  { text: "5m", name: "Last 5 minutes" },
  { text: "15m", name: "Last 15 minutes" },
  { text: "1h", name: "Last hour" },
  { text: "6h", name: "Last 6 hours" },
  { text: "24h", name: "Last 24 hours" },
  { text: "7d", name: "Last 7 days" },
];

const UNITS: Record<string, number> = {
  ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000,
};

/** `1h30m` -> milliseconds; null if it is not a duration or is zero. */
export function parseDuration(text: string): number | null {
  const t = text.trim();
  if (!/^(?:\d+(?:ms|[smhdw]))+$/.test(t)) return null;
  let ms = 0;
  for (const m of t.matchAll(/(\d+)(ms|[smhdw])/g)) ms += Number(m[1]) * (UNITS[m[2] ?? ""] ?? 0);
  return ms > 0 && Number.isFinite(ms) ? ms : null;
}

export function lastRange(text: string): Range | null {
  const ms = parseDuration(text);
  return ms === null ? null : { kind: "last", ms, text: text.trim() };
}

/** Reads what people type or paste as a time: `now-1h`, local or ISO date, Unix seconds, ms, µs or ns. */
export function parseInstant(text: string, now: number): number | null {
  const t = text.trim();
  const rel = /^now(?:\s*-\s*(\w+))?$/.exec(t);
  if (rel) {
    const back = rel[1] === undefined ? 0 : parseDuration(rel[1]);
    return back === null ? null : now - back;
  }
  if (/^\d{9,19}(\.\d+)?$/.test(t)) {
    const digits = t.split(".")[0]?.length ?? 0;
    const n = Number(t);
    return Math.round(digits <= 10 ? n * 1000 : digits <= 13 ? n : digits <= 16 ? n / 1e3 : n / 1e6);
  }
  const local = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?$/.exec(t);
  if (local) {
    const [, y, mo, d, h, mi, s, frac] = local.map((x) => x ?? "0");
    const date = new Date(Number(y), Number(mo) - 1, Number(d), Number(h), Number(mi), Number(s));
    const same = date.getMonth() === Number(mo) - 1 && date.getDate() === Number(d) && Number(h) < 24;
    return same ? date.getTime() + Math.floor(Number("0." + (frac ?? "0")) * 1000) : null;
  }
  if (/^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:?\d{2})$/.test(t)) {
    const ms = Date.parse(t);
    return Number.isNaN(ms) ? null : ms;
  }
  return null;
}

export function fixedRange(from: string, to: string, now: number): Range | string {
  const a = parseInstant(from, now);
  const b = parseInstant(to, now);
  if (a === null) return "“From” is not a time. Try 2024-05-01 08:00:00 or now-1h.";
  if (b === null) return "“To” is not a time. Try 2024-05-01 09:00:00 or now.";
  if (a >= b) return "“From” must be before “to”.";
  return { kind: "fixed", from: a, to: b };
}

/** The instants a range means at this moment. */
export function resolve(range: Range, now: number): { from: number; to: number } {
  return range.kind === "fixed" ? { from: range.from, to: range.to } : { from: now - range.ms, to: now };
}

export function toNs(ms: number): string {
  return String(Math.round(ms)) + "000000";
}

const STEPS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800,
];

/** A round step in seconds that cuts the span into at most `parts`. */
export function pickStep(spanMs: number, parts: number): number {
  const raw = spanMs / 1000 / Math.max(1, parts);
  return STEPS_S.find((s) => s >= raw) ?? Math.ceil(raw / 604800) * 604800;
}

/** Seconds as a LogQL duration. */
export function stepText(s: number): string {
  return `${s}s`;
}

const two = (n: number) => String(n).padStart(2, "0");

export function formatClock(ms: number, withMs = true): string {
  const d = new Date(ms);
  const t = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return withMs ? `${t}.${String(d.getMilliseconds()).padStart(3, "0")}` : t;
}

export function formatDay(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

export function formatInstant(ms: number): string {
  return `${formatDay(ms)} ${formatClock(ms, false)}`;
}

/** With the nanoseconds, as the details show it. */
export function formatNs(ns: string, ms: number): string {
  return `${formatInstant(ms)}.${ns.slice(-9).padStart(9, "0")}`;
}

export function rangeName(range: Range): string {
  if (range.kind === "last") return QUICK_RANGES.find((q) => q.text === range.text)?.name ?? `Last ${range.text}`;
  const sameDay = formatDay(range.from) === formatDay(range.to);
  return `${formatInstant(range.from)} – ${sameDay ? formatClock(range.to, false) : formatInstant(range.to)}`;
}
