import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeState, DEFAULT_STATE, encodeState, type PageState } from "../src/lib/urlstate";

test("a state survives the way through the URL", () => {
  const states: PageState[] = [
    DEFAULT_STATE,
    {
      query: '{a="b&c=#d"} |~ "50%+é" \n| json',
      range: { kind: "fixed", from: 1_700_000_000_000, to: 1_700_000_060_000 },
      refresh: 0, newestFirst: false, wrap: true,
    },
  ];
  for (const s of states) assert.deepEqual(decodeState(encodeState(s)), s);
});

test("a page opened without a state shows everything", () => {
  assert.deepEqual(decodeState(""), DEFAULT_STATE);
  assert.deepEqual(decodeState("#"), DEFAULT_STATE);
});

test("damaged parts fall back one by one", () => {
  const s = decodeState("#q=%7Ba%3D%22b%22%7D&range=15x&refresh=3&order=up");
  assert.equal(s.query, '{a="b"}');
  assert.deepEqual(s.range, DEFAULT_STATE.range);
  assert.equal(s.refresh, 0);
  assert.equal(s.newestFirst, true);
  assert.deepEqual(decodeState("#q=x&from=5&to=4").range, DEFAULT_STATE.range);
});
