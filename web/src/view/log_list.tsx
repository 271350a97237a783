// The list of lines. Only rows near the window are in the document; their heights are measured, the others'
// estimated. Before each change the list notes a row on the screen and afterwards puts it back where it was,
// so new lines and measured heights never move what one is reading.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { bytes, count, seconds } from "../lib/format";
import { searchedTexts } from "../lib/logql";
import { clip, summary as summarise, type Row } from "../lib/rows";
import { formatClock, formatDay } from "../lib/time";
import { hasOlder, loadingOlder, loadOlder, page, rows, show, span, summary } from "../state";
import { Details } from "./details";
import { Down, Up, Wrap } from "./icons";

const OVERSCAN = 600;
const ROW = 23;
const ROW_NARROW = 44;
/** Pixels from the end that still count as reading along. */
const AT_END = 40;

interface Anchor {
  key: string;
  /** Where its top stood, relative to the window's. */
  at: number;
}

export function LogList({ scroller }: { scroller: { current: HTMLElement | null } }) {
  const { newestFirst, wrap, query } = page.value;
  const list = useMemo(() => (newestFirst ? rows.value : [...rows.value].reverse()), [rows.value, newestFirst]);
  const words = useMemo(() => searchedTexts(query), [query]);
  const withDay = formatDay(span.value.from) !== formatDay(span.value.to);
  const body = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const anchor = useRef<Anchor | null>(null);
  const atEnd = useRef(!newestFirst);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [active, setActive] = useState<string | null>(null);
  const [view, setView] = useState({ top: 0, height: 800, width: 1000 });
  const [measured, setMeasured] = useState(0);
  const [unseen, setUnseen] = useState(0);
  const newest = useRef<string | null>(null);

  const base = view.width < 640 ? ROW_NARROW : ROW;
  const tops = useMemo(() => {
    const out = new Float64Array(list.length + 1);
    const columns = Math.max(20, (view.width - 260) / 7.3);
    for (let i = 0; i < list.length; i++) {
      const r = list[i];
      const guess = wrap && r ? base + 18 * Math.min(40, Math.floor(r.line.length / columns)) : base;
      out[i + 1] = (out[i] ?? 0) + (heights.current.get(r?.key ?? "") ?? guess);
    }
    return out;
  }, [list, wrap, base, measured, view.width]);
  const total = tops[list.length] ?? 0;

  const indexAt = (y: number) => {
    let lo = 0;
    let hi = list.length - 1;
    while (lo < hi) {
      const mid = (lo + hi + 1) >> 1;
      if ((tops[mid] ?? 0) <= y) lo = mid;
      else hi = mid - 1;
    }
    return Math.max(0, lo);
  };
  const first = indexAt(view.top - OVERSCAN);
  const last = Math.min(list.length - 1, indexAt(view.top + view.height + OVERSCAN));

  // Where the window is, in the list's own coordinates, and which row holds it in place.
  const look = () => {
    const s = scroller.current;
    const b = body.current;
    if (!s || !b) return;
    const top = s.getBoundingClientRect().top - b.getBoundingClientRect().top;
    setView((v) => (v.top === top && v.height === s.clientHeight && v.width === s.clientWidth
      ? v : { top, height: s.clientHeight, width: s.clientWidth }));
    atEnd.current = s.scrollHeight - s.scrollTop - s.clientHeight < AT_END;
    remember(top);
  };
  const remember = (top: number) => {
    const s = scroller.current;
    if (!s) return;
    for (let i = indexAt(Math.max(0, top)); i < list.length && (tops[i] ?? 0) < top + s.clientHeight; i++) {
      const r = list[i];
      // At the top of the page new lines should come into sight, unless one is reading an open row.
      if (r && (top > 0 || open.has(r.key))) {
        anchor.current = { key: r.key, at: (tops[i] ?? 0) - top };
        return;
      }
    }
    anchor.current = null;
  };

  const latestLook = useRef(look);
  latestLook.current = look;
  useEffect(() => {
    const s = scroller.current;
    if (!s) return;
    const moved = () => latestLook.current();
    s.addEventListener("scroll", moved, { passive: true });
    const watch = new ResizeObserver(moved);
    watch.observe(s);
    return () => {
      s.removeEventListener("scroll", moved);
      watch.disconnect();
    };
  }, []);

  // Heights made for another width or wrapping mean nothing.
  useLayoutEffect(() => {
    heights.current.clear();
    setMeasured((n) => n + 1);
  }, [wrap, view.width]);

  // Showing the other end first starts at the newest line.
  const order = useRef(newestFirst);
  useLayoutEffect(() => {
    const s = scroller.current;
    if (!s || order.current === newestFirst) return;
    order.current = newestFirst;
    anchor.current = null;
    atEnd.current = !newestFirst;
    s.scrollTop = newestFirst ? 0 : s.scrollHeight;
  }, [newestFirst]);

  useLayoutEffect(() => {
    const b = body.current;
    const s = scroller.current;
    if (!b || !s) return;
    let changed = false;
    for (const el of b.children) {
      const key = (el as HTMLElement).dataset["key"] ?? "";
      const r = list[Number(key)];
      const h = (el as HTMLElement).offsetHeight;
      if (r && h > 0 && heights.current.get(r.key) !== h) {
        heights.current.set(r.key, h);
        changed = true;
      }
    }
    const a = anchor.current;
    if (!newestFirst && atEnd.current) {
      s.scrollTop = s.scrollHeight;
    } else if (a) {
      const i = list.findIndex((r) => r.key === a.key);
      if (i >= 0) {
        const top = s.getBoundingClientRect().top - b.getBoundingClientRect().top;
        const shift = (tops[i] ?? 0) - top - a.at;
        if (Math.abs(shift) >= 1) s.scrollTop += shift;
      }
    }
    if (changed) setMeasured((n) => n + 1);
    else look();
  }, [list, tops, open, first, last]);

  // Lines that came while the reader was elsewhere.
  useEffect(() => {
    const top = rows.value[0]?.key ?? null;
    const before = newest.current === null ? -1 : rows.value.findIndex((r) => r.key === newest.current);
    newest.current = top;
    const away = newestFirst ? view.top > ROW : !atEnd.current;
    if (before > 0 && away) setUnseen((n) => n + before);
  }, [rows.value]);
  const away = newestFirst ? view.top > ROW : !atEnd.current;
  useEffect(() => {
    if (!away) setUnseen(0);
  }, [away, query]);

  const toNewest = () => {
    const s = scroller.current;
    if (!s) return;
    anchor.current = null;
    setUnseen(0);
    s.scrollTop = newestFirst ? 0 : s.scrollHeight;
  };
  const toggle = (key: string) => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setActive(key);
    setOpen(next);
    // The row that was clicked stays under the pointer.
    const i = list.findIndex((r) => r.key === key);
    anchor.current = { key, at: (tops[i] ?? 0) - view.top };
  };
  const focusRow = (i: number) => {
    const r = list[i];
    const s = scroller.current;
    if (!r || !s) return;
    setActive(r.key);
    const y = tops[i] ?? 0;
    const margin = 60;
    if (y < view.top + margin) s.scrollTop += y - view.top - margin;
    else if (y > view.top + view.height - margin) s.scrollTop += y - view.top - view.height + margin;
    requestAnimationFrame(() => body.current?.querySelector<HTMLElement>(`[data-key="${i}"] .line-head`)?.focus({ preventScroll: true }));
  };
  const onKey = (e: KeyboardEvent, i: number) => {
    const r = list[i];
    if (!r || e.target !== e.currentTarget) return;
    if (e.key === "ArrowDown" || e.key === "j") focusRow(i + 1);
    else if (e.key === "ArrowUp" || e.key === "k") focusRow(i - 1);
    else if (e.key === "Enter" || e.key === " ") toggle(r.key);
    else return;
    e.preventDefault();
  };
  useEffect(() => {
    const close = (e: KeyboardEvent) => {
      if (e.key !== "Escape" || e.defaultPrevented || open.size === 0) return;
      const el = e.target as HTMLElement;
      if (el.isContentEditable || /^(INPUT|SELECT)$/.test(el.tagName)) return;
      setOpen(new Set());
    };
    document.addEventListener("keydown", close);
    return () => document.removeEventListener("keydown", close);
  }, [open]);

  const older = hasOlder.value && (
    <div class="older">
      <button type="button" class="button" disabled={loadingOlder.value} onClick={() => void loadOlder()}>
        {loadingOlder.value ? "Loading…" : "Load older lines"}
      </button>
    </div>
  );
  const focusable = list.some((r) => r.key === active) ? active : (list[0]?.key ?? null);
  const stats = summary.value;
  // The column is as wide as the longest service name, within reason; the line has the rest.
  const serviceWidth = useMemo(() => list.reduce((w, r) => Math.max(w, Math.min(r.service.length, 24)), 8), [list]);
  return (
    <section class="log" aria-label="Logs" style={{ "--service-width": `${serviceWidth}ch` }}>
      <div class="log-bar">
        <span class="log-count">
          <b>{count(list.length)}</b> {list.length === 1 ? "line" : "lines"}
          {hasOlder.value && <span class="muted">, more in this range</span>}
        </span>
        {stats?.execTime !== undefined && (
          <span class="muted log-stats">
            {seconds(stats.execTime)}{stats.totalBytesProcessed ? `, ${bytes(stats.totalBytesProcessed)} read` : ""}
          </span>
        )}
        <span class="grow" />
        <button type="button" class="button" title="Which lines come first"
          onClick={() => show({ newestFirst: !newestFirst })}>
          {newestFirst ? <Down /> : <Up />}<span>{newestFirst ? "Newest first" : "Oldest first"}</span>
        </button>
        <button type="button" class="button" aria-pressed={wrap} title="Wrap long lines" onClick={() => show({ wrap: !wrap })}>
          <Wrap /><span>Wrap</span>
        </button>
      </div>
      {unseen > 0 && (
        <div class="unseen">
          <button type="button" class="button primary" onClick={toNewest}>
            {newestFirst ? <Up /> : <Down />}{count(unseen)} new {unseen === 1 ? "line" : "lines"}
          </button>
        </div>
      )}
      {!newestFirst && older}
      <div class={`lines ${wrap ? "wrap" : ""}`} role="list" aria-label="Log lines" ref={body} style={{ height: total }}>
        {list.slice(first, last + 1).map((r, n) => (
          <Line key={r.key} row={r} index={first + n} top={tops[first + n] ?? 0} count={list.length} open={open.has(r.key)}
            words={words} wrap={wrap} withDay={withDay} focusable={r.key === focusable} onToggle={toggle} onKey={onKey} />
        ))}
      </div>
      {newestFirst && older}
    </section>
  );
}

function Line({ row, index, top, count: n, open, words, wrap, withDay, focusable, onToggle, onKey }: {
  row: Row; index: number; top: number; count: number; open: boolean; words: string[]; wrap: boolean; withDay: boolean;
  focusable: boolean; onToggle: (key: string) => void; onKey: (e: KeyboardEvent, i: number) => void;
}) {
  const s = useMemo(() => (wrap ? clip(row.line) : summarise(row.line)), [row.line, wrap]);
  const error = row.meta["exception_type"];
  const click = () => {
    // Selecting text is not a click.
    if (getSelection()?.isCollapsed ?? true) onToggle(row.key);
  };
  return (
    <div class={`line level-${row.level} ${open ? "open" : ""}`} role="listitem" aria-posinset={index + 1} aria-setsize={n}
      data-key={index} style={{ transform: `translateY(${top}px)` }}>
      <div class="line-head" role="button" tabIndex={focusable ? 0 : -1} aria-expanded={open} onClick={click}
        onKeyDown={(e) => onKey(e, index)}>
        <time title={new Date(row.ms).toISOString()}>{withDay && <span>{formatDay(row.ms).slice(5)} </span>}{formatClock(row.ms)}</time>
        <span class="badge">{row.level === "unknown" ? "–" : row.level}</span>
        <span class="service" title={row.service}>{row.service}</span>
        <span class="text">
          <Marked text={s.first} words={words} />
          {s.more > 0 && <em>+{s.more} {s.more === 1 ? "line" : "lines"}</em>}
          <Marked text={s.last} words={words} />
          {row.line === "" && <em>empty line</em>}
          {error && <em class="exception">{error}</em>}
        </span>
      </div>
      {open && <Details row={row} onClose={() => onToggle(row.key)} />}
    </div>
  );
}

/** The text with what the query searched for marked. */
function Marked({ text, words }: { text: string; words: string[] }) {
  if (words.length === 0) return <>{text}</>;
  const parts: { text: string; hit: boolean }[] = [];
  let at = 0;
  while (at < text.length && parts.length < 400) {
    let from = -1;
    let length = 0;
    for (const w of words) {
      const i = text.indexOf(w, at);
      if (i >= 0 && (from < 0 || i < from || (i === from && w.length > length))) {
        from = i;
        length = w.length;
      }
    }
    if (from < 0) break;
    if (from > at) parts.push({ text: text.slice(at, from), hit: false });
    parts.push({ text: text.slice(from, from + length), hit: true });
    at = from + length;
  }
  if (at < text.length) parts.push({ text: text.slice(at), hit: false });
  return <>{parts.map((p) => (p.hit ? <mark>{p.text}</mark> : p.text))}</>;
}
