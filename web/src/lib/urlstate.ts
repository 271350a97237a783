// The state of the page in the URL's hash, so that a copied address shows the same thing.
import { lastRange, type Range } from "./time";

export interface PageState {
  query: string;
  range: Range;
  /** Seconds between refreshes, 0 for none. */
  refresh: number;
  newestFirst: boolean;
  wrap: boolean;
}

export const REFRESH_CHOICES = [0, 2, 5, 10, 30] as const;

export const DEFAULT_STATE: PageState = {
  query: '{service_name=~".+"}',
  range: { kind: "last", ms: 900_000, text: "15m" },
  refresh: 5,
  newestFirst: true,
  wrap: false,
};

export function encodeState(s: PageState): string {
  const p = new URLSearchParams();
  p.set("q", s.query);
  if (s.range.kind === "last") {
    p.set("range", s.range.text);
  } else {
    p.set("from", String(s.range.from));
    p.set("to", String(s.range.to));
  }
  p.set("refresh", String(s.refresh));
  if (!s.newestFirst) p.set("order", "oldest");
  if (s.wrap) p.set("wrap", "1");
  return "#" + p.toString();
}

/** Anything unreadable falls back to its default: an old or damaged link still opens the page. */
export function decodeState(hash: string): PageState {
  const p = new URLSearchParams(hash.replace(/^#/, ""));
  const query = p.get("q");
  if (query === null) return DEFAULT_STATE;
  const refresh = Number(p.get("refresh") ?? "0");
  return {
    query,
    range: decodeRange(p) ?? DEFAULT_STATE.range,
    refresh: REFRESH_CHOICES.find((r) => r === refresh) ?? 0,
    newestFirst: p.get("order") !== "oldest",
    wrap: p.get("wrap") === "1",
  };
}

function decodeRange(p: URLSearchParams): Range | null {
  const from = Number(p.get("from") ?? NaN);
  const to = Number(p.get("to") ?? NaN);
  if (Number.isSafeInteger(from) && Number.isSafeInteger(to) && from < to) return { kind: "fixed", from, to };
  return lastRange(p.get("range") ?? "");
}
