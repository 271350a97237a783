// What the page knows, and the few actions that change it. Views read the signals and call the actions;
// nothing else talks to the server.
//
// (1) `page` is what ran last and what the URL says; `draft` is the text in the query box.
// (2) A failed request never takes away what is on the screen: it sets `problem` or `offline` beside it.
// (3) At most one run is under way; a new one by hand aborts it, an automatic one waits for it.
import { batch, computed, signal } from "@preact/signals";
import * as api from "./lib/api";
import { levelsOfStage, levelStage, LEVELS, mergeVolume, type Level, type Series, type Volume } from "./lib/level";
import * as logql from "./lib/logql";
import { appendOlder, mergeRows, rowsOf, type Row } from "./lib/rows";
import { pickStep, resolve, stepText, toNs, type Range } from "./lib/time";
import { decodeState, encodeState, type PageState } from "./lib/urlstate";

/** Lines per request, and how many are kept when older ones are loaded. */
export const LIMIT = 1000;
const KEEP = 50_000;

export interface Chart {
  series: Series[];
  from: number;
  to: number;
  step: number;
}

export const page = signal<PageState>(decodeState(location.hash));
export const draft = signal(page.value.query);
export const rows = signal<Row[]>([]);
export const hasOlder = signal(false);
export const volume = signal<Volume | null>(null);
export const chart = signal<Chart | null>(null);
/** The instants of the last run, in ms. */
export const span = signal(resolve(page.value.range, Date.now()));
export const summary = signal<api.Summary | null>(null);
export const loading = signal(true);
export const loadingOlder = signal(false);
export const problem = signal<{ text: string; query: string } | null>(null);
export const offline = signal<{ text: string; retryAt: number } | null>(null);
/** Whether the store holds anything at all; asked only when a query finds nothing. */
export const storeEmpty = signal(false);
/** A first answer has come, so an empty list means "nothing there". */
export const answered = signal(false);
export const labels = signal<string[]>([]);
/** Counts runs, so that views know when to look again. */
export const runs = signal(0);

export const selectedLevels = computed(() => levelsOfStage(logql.splitLevelStage(page.value.query).matchers));

let running: AbortController | null = null;
let refreshTimer: ReturnType<typeof setTimeout> | undefined;
let failures = 0;
let refused = false;

export function start(): void {
  history.replaceState(null, "", encodeState(page.value));
  addEventListener("popstate", () => {
    batch(() => {
      page.value = decodeState(location.hash);
      draft.value = page.value.query;
    });
    void run();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) schedule(0);
  });
  void run();
}

/** Changes query or time range and runs. */
export function go(change: { query?: string; range?: Range }): void {
  const next = { ...page.value, query: draft.value, ...change };
  const url = encodeState(next);
  if (url !== location.hash) history.pushState(null, "", url);
  batch(() => {
    page.value = next;
    draft.value = next.query;
  });
  void run();
}

/** Changes how results are shown; nothing is asked again. */
export function show(change: Partial<Pick<PageState, "refresh" | "newestFirst" | "wrap">>): void {
  page.value = { ...page.value, ...change };
  history.replaceState(null, "", encodeState(page.value));
  if (change.refresh !== undefined) schedule(change.refresh);
}

function schedule(seconds: number): void {
  clearTimeout(refreshTimer);
  if (offline.value) {
    refreshTimer = setTimeout(() => void run(true), Math.max(0, offline.value.retryAt - Date.now()));
  } else if (page.value.refresh > 0 && page.value.range.kind === "last" && !document.hidden) {
    refreshTimer = setTimeout(() => void run(true), seconds * 1000);
  }
}

export async function run(quiet = false): Promise<void> {
  if (quiet && running) return;
  running?.abort();
  clearTimeout(refreshTimer);
  const mine = new AbortController();
  running = mine;
  if (!quiet) loading.value = true;
  const { query, range } = page.value;
  const when = resolve(range, Date.now());
  try {
    await Promise.all([runQuery(query, when, quiet, mine.signal), runVolume(query, when, mine.signal)]);
    if (mine.signal.aborted) return;
    failures = 0;
    refused = false;
    batch(() => {
      problem.value = null;
      offline.value = null;
    });
    if (labels.value.length === 0) void loadLabels();
    if (rows.value.length === 0 && !chart.value) void checkStore();
  } catch (e) {
    if (mine.signal.aborted) return;
    const text = e instanceof Error ? e.message : String(e);
    refused = e instanceof api.ApiError && e.refused;
    if (e instanceof api.ApiError && e.unreachable) {
      failures++;
      offline.value = { text, retryAt: Date.now() + Math.min(10_000, 1000 * 2 ** (failures - 1)) };
    } else {
      batch(() => {
        offline.value = null;
        problem.value = { text, query };
      });
    }
  } finally {
    if (running === mine) {
      running = null;
      loading.value = false;
      runs.value++;
      // A query that is wrong stays wrong: wait for the person.
      if (!refused) schedule(page.value.refresh);
    }
  }
}

async function runQuery(query: string, when: { from: number; to: number }, quiet: boolean, signal: AbortSignal) {
  const parts = Math.min(300, Math.max(60, Math.round(innerWidth / 4)));
  const step = pickStep(when.to - when.from, parts);
  // The end is exclusive; a second more covers a browser whose clock is a little behind the server's.
  const end = page.value.range.kind === "last" ? when.to + 1000 : when.to;
  const data = await api.queryRange(
    { query, start: toNs(when.from), end: toNs(end), step: stepText(step), limit: LIMIT },
    signal,
  );
  if (signal.aborted) return;
  batch(() => {
    answered.value = true;
    span.value = when;
    summary.value = data.stats?.summary ?? null;
    if (data.resultType === "matrix") {
      chart.value = { series: data.result, from: when.from, to: when.to, step };
      rows.value = [];
      hasOlder.value = false;
      return;
    }
    chart.value = null;
    const fresh = data.resultType === "streams" ? rowsOf(data.result) : [];
    const full = fresh.length >= LIMIT;
    rows.value = quiet ? mergeRows(rows.value, fresh, full, toNs(when.from)).slice(0, KEEP) : fresh;
    if (!quiet || rows.value.length <= fresh.length) hasOlder.value = full;
  });
}

async function runVolume(query: string, when: { from: number; to: number }, signal: AbortSignal): Promise<void> {
  if (logql.isMetric(query)) {
    volume.value = null;
    return;
  }
  const bars = Math.min(90, Math.max(24, Math.round(innerWidth / 14)));
  const step = pickStep(when.to - when.from, bars);
  const first = (Math.floor(when.from / 1000 / step) + 1) * step;
  const last = Math.ceil(when.to / 1000 / step) * step;
  const { rest } = logql.splitLevelStage(query);
  const lines = logql.hasParser(rest) ? logql.addStage(rest, "| drop __error__") : rest;
  const data = await api.queryRange({
    // The line break keeps a comment at the end of the query from swallowing the rest.
    query: `sum by (level, detected_level) (count_over_time(${lines}\n[${stepText(step)}]))`,
    start: toNs(first * 1000),
    end: toNs(last * 1000),
    step: stepText(step),
  }, signal).catch((e: unknown) => {
    // The lines are worth showing without their histogram; the query itself reports what is wrong.
    if (e instanceof api.ApiError && !e.unreachable) return null;
    throw e;
  });
  if (signal.aborted) return;
  volume.value = data?.resultType === "matrix" ? mergeVolume(data.result, first, last, step) : null;
}

/** Fetches the next page of older lines. */
export async function loadOlder(): Promise<void> {
  const oldest = rows.value[rows.value.length - 1];
  if (!oldest || loadingOlder.value) return;
  loadingOlder.value = true;
  const { query } = page.value;
  try {
    // One nanosecond past the oldest line, because others may share its time.
    const end = String(BigInt(oldest.ns) + 1n);
    const data = await api.queryRange({ query, start: toNs(span.value.from), end, limit: LIMIT });
    if (query !== page.value.query || data.resultType !== "streams") return;
    const older = rowsOf(data.result);
    batch(() => {
      const merged = appendOlder(rows.value, older);
      hasOlder.value = older.length >= LIMIT && merged.length > rows.value.length && merged.length < KEEP;
      rows.value = merged;
    });
  } catch (e) {
    problem.value = { text: e instanceof Error ? e.message : String(e), query };
  } finally {
    loadingOlder.value = false;
  }
}

export async function loadLabels(): Promise<void> {
  const { from, to } = resolve(page.value.range, Date.now());
  try {
    labels.value = await api.labelNames(toNs(from), toNs(to + 1000));
  } catch {
    // The picker stays as it is; the next run reports an unreachable server.
  }
}

async function checkStore(): Promise<void> {
  const now = Date.now();
  try {
    const names = await api.labelNames(toNs(now - 30 * 86_400_000), toNs(now + 3_600_000));
    storeEmpty.value = names.length === 0;
  } catch {
    storeEmpty.value = false;
  }
}

/** Selects a level in the legend, or takes it out again. */
export function toggleLevel(level: Level): void {
  const seen = volume.value?.seen ?? [];
  const chosen = new Set(selectedLevels.value);
  if (!chosen.delete(level)) chosen.add(level);
  const { rest } = logql.splitLevelStage(draft.value);
  const shown = LEVELS.filter((l) => volume.value?.counts.has(l));
  const stage = chosen.size > 0 && !shown.every((l) => chosen.has(l)) ? levelStage([...chosen], seen) : null;
  go({ query: stage ? logql.addStage(rest, stage) : rest });
}
