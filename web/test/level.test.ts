import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalLevel, levelOf, levelsOfStage, levelStage, mergeVolume } from "../src/lib/level";
import { splitLevelStage } from "../src/lib/logql";

test("spellings", () => {
  assert.equal(canonicalLevel("WARNING"), "warn");
  assert.equal(canonicalLevel("critical"), "fatal");
  assert.equal(canonicalLevel(" Err "), "error");
  assert.equal(canonicalLevel("Foo"), "unknown");
  assert.equal(canonicalLevel(undefined), "unknown");
  assert.equal(canonicalLevel("constructor"), "unknown");
});

test("the sender's level wins over the detected one", () => {
  assert.equal(levelOf({ level: "ERROR", detected: "info" }), "error");
  assert.equal(levelOf({ level: "", detected: "info" }), "info");
});

test("a volume is merged per canonical level onto one time axis", () => {
  const v = mergeVolume(
    [
      { metric: { detected_level: "error" }, values: [[10, "1"], [30, "2"]] },
      { metric: { level: "ERR" }, values: [[10, "4"], [990, "7"]] },
      { metric: {}, values: [[20, "3"], [30, "NaN"]] },
    ],
    10, 30, 10,
  );
  assert.deepEqual(v.times, [10, 20, 30]);
  assert.deepEqual(v.counts.get("error"), [5, 0, 2]);
  assert.deepEqual(v.counts.get("unknown"), [0, 3, 0]);
  assert.equal(v.totals.get("error"), 7);
});

test("a stage with detected levels only", () => {
  const seen = [{ level: "", detected: "error" }, { level: "", detected: "info" }, { level: "", detected: "" }];
  assert.equal(levelStage(["error"], seen), '| detected_level="error"');
  assert.equal(levelStage(["info", "error"], seen), '| detected_level=~"error|info"');
  assert.equal(levelStage(["unknown"], seen), '| detected_level=""');
  assert.equal(levelStage(["fatal"], seen), null);
});

test("a stage when some records have their own level", () => {
  const seen = [{ level: "ERROR", detected: "error" }, { level: "", detected: "err" }, { level: "", detected: "info" }];
  assert.equal(levelStage(["error"], seen), '| level="ERROR" or (level="" and detected_level="err")');
  assert.equal(levelStage(["info"], seen), '| level="" and detected_level="info"');
});

test("a stage is read back from the query", () => {
  const seen = [{ level: "ERROR", detected: "" }, { level: "", detected: "err" }, { level: "", detected: "warning" }];
  for (const levels of [["error"], ["warn"], ["error", "warn"]] as const) {
    const query = `{a="b"} |= "x" ${levelStage(levels, seen) ?? ""}`;
    const { rest, matchers } = splitLevelStage(query);
    assert.equal(rest, '{a="b"} |= "x"');
    assert.deepEqual([...levelsOfStage(matchers)].sort(), [...levels].sort());
  }
});
