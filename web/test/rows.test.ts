import assert from "node:assert/strict";
import { test } from "node:test";
import { appendOlder, clip, mergeRows, rowsOf, summary } from "../src/lib/rows";

const ns = (n: number) => String(1_700_000_000_000_000_000n + BigInt(n));
const rowsAt = (...at: number[]) => rowsOf([{ stream: { service_name: "s" }, values: at.map((n) => [ns(n), `line ${n}`]) }]);

test("rows come newest first over all streams, with level, service and groups", () => {
  const rows = rowsOf([
    { stream: { service_name: "a" }, values: [[ns(3), "x", { structuredMetadata: { detected_level: "WARN" } }], [ns(1), "y", {}]] },
    { stream: { app: "b", level: "error" }, values: [[ns(2), "z"]] },
  ]);
  assert.deepEqual(rows.map((r) => r.line), ["x", "z", "y"]);
  assert.deepEqual(rows.map((r) => r.level), ["warn", "error", "unknown"]);
  assert.deepEqual(rows.map((r) => r.service), ["a", "b", "a"]);
  assert.equal(rows[0]?.ms, 1_700_000_000_000);
});

test("equal records have keys of their own", () => {
  const rows = rowsOf([{ stream: { a: "b" }, values: [[ns(1), "x"], [ns(1), "x"]] }]);
  assert.equal(new Set(rows.map((r) => r.key)).size, 2);
});

test("a refresh keeps rows that were there and the older ones loaded before", () => {
  const old = rowsAt(5, 4, 3, 2, 1);
  const merged = mergeRows(old, rowsAt(6, 5, 4), true, ns(2));
  assert.deepEqual(merged.map((r) => r.line), ["line 6", "line 5", "line 4", "line 3", "line 2"]);
  assert.equal(merged[1], old[0]);
});

test("a refresh that holds the whole range, or leaves a gap, replaces everything", () => {
  assert.equal(mergeRows(rowsAt(5, 4), rowsAt(6, 5), false, ns(0)).length, 2);
  assert.deepEqual(mergeRows(rowsAt(5, 4), rowsAt(9, 8), true, ns(0)).map((r) => r.line), ["line 9", "line 8"]);
});

test("older rows join at the seam without doubles", () => {
  assert.deepEqual(appendOlder(rowsAt(3, 2), rowsAt(2, 1)).map((r) => r.line), ["line 3", "line 2", "line 1"]);
});

test("a stack trace in one row shows its first and last line", () => {
  assert.deepEqual(summary("oops\n  at f\n  at g\nError: bad\n"), { first: "oops", more: 3, last: "Error: bad" });
  assert.deepEqual(summary("one"), { first: "one", more: 0, last: "" });
});

test("terminal colours are not shown", () => {
  assert.equal(summary("\x1b[1;31merror\x1b[0m: x").first, "error: x");
  assert.equal(clip("\x1b[38:5:1ma\x1b[K\nb").first, "a\nb");
});

test("a wrapping row has an end", () => {
  assert.equal(clip("a\nb").first, "a\nb");
  assert.equal(clip("x\n".repeat(100)).more, 60);
  assert.ok(clip("x".repeat(100_000)).first.length < 5000);
});
