// The calls to the server: the Loki query API of the page's own origin.
import type { Series } from "./level";
import type { Stream } from "./rows";

export class ApiError extends Error {
  /** `status` is 0 when nobody answered. */
  constructor(message: string, readonly status: number) {
    super(message);
  }

  /** Nobody answered, or the server says it is not ready: worth trying again soon. */
  get unreachable(): boolean {
    return this.status === 0 || this.status === 502 || this.status === 503;
  }

  /** The query is at fault: asking again gives the same answer. */
  get refused(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

export interface Summary {
  execTime?: number;
  totalBytesProcessed?: number;
}

export type QueryData = { stats?: { summary?: Summary } } & (
  | { resultType: "streams"; result: Stream[] }
  | { resultType: "matrix"; result: Series[] }
  | { resultType: "vector"; result: { metric: Record<string, string>; value: [number, string] }[] }
  | { resultType: "scalar"; result: [number, string] }
);

async function call<T>(path: string, params: Record<string, string>, signal?: AbortSignal): Promise<T> {
  const form = new URLSearchParams(params).toString();
  // Proxies cut long addresses; the API takes the same parameters as a form.
  const post = form.length > 4000;
  let res: Response;
  let text: string;
  try {
    res = await fetch(post ? path : `${path}?${form}`, {
      method: post ? "POST" : "GET",
      headers: {
        "X-Loki-Response-Encoding-Flags": "categorize-labels",
        ...(post ? { "Content-Type": "application/x-www-form-urlencoded" } : {}),
      },
      ...(post ? { body: form } : {}),
      ...(signal ? { signal } : {}),
    });
    text = await res.text();
  } catch (e) {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError("The server does not answer.", 0);
  }
  if (!res.ok) {
    throw new ApiError(text.trim().slice(0, 4000) || `The server answered ${res.status} ${res.statusText}.`, res.status);
  }
  let body: { data?: T } | null;
  try {
    body = JSON.parse(text) as { data?: T } | null;
  } catch {
    throw new ApiError("The server's answer is not JSON. Is this address really a Weir or Loki server?", 400);
  }
  return body?.data as T;
}

export interface RangeQuery {
  query: string;
  start: string;
  end: string;
  step?: string;
  limit?: number;
}

export async function queryRange(q: RangeQuery, signal?: AbortSignal): Promise<QueryData> {
  const data = await call<QueryData | undefined>("/loki/api/v1/query_range", {
    query: q.query,
    start: q.start,
    end: q.end,
    direction: "backward",
    ...(q.step !== undefined ? { step: q.step } : {}),
    ...(q.limit !== undefined ? { limit: String(q.limit) } : {}),
  }, signal);
  if (!data || !Array.isArray(data.result)) throw new ApiError("The server's answer holds no result.", 400);
  return data;
}

export async function queryNow(query: string, time: string, signal?: AbortSignal): Promise<QueryData> {
  return call<QueryData>("/loki/api/v1/query", { query, time }, signal);
}

/** An empty answer has no `data` at all. */
export async function labelNames(start: string, end: string): Promise<string[]> {
  const names = (await call<string[] | undefined>("/loki/api/v1/labels", { start, end })) ?? [];
  return names.filter((n) => !n.startsWith("__"));
}

export async function labelValues(name: string, start: string, end: string): Promise<string[]> {
  const path = `/loki/api/v1/label/${encodeURIComponent(name)}/values`;
  return (await call<string[] | undefined>(path, { start, end })) ?? [];
}
