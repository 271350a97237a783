import assert from "node:assert/strict";
import { test } from "node:test";
import { prettyJson } from "../src/lib/json";

const text = (line: string) => prettyJson(line)?.map((t) => t.text).join("");

test("the layout is the usual one", () => {
  for (const v of [{}, [], { a: 1, b: [true, null, { c: "x:y,{}" }], d: {}, e: [] }, [[[]]], { 'q"': "\\\\" }]) {
    assert.equal(text(JSON.stringify(v)), JSON.stringify(v, null, 2));
  }
});

test("digits, order and double keys are kept", () => {
  assert.equal(text('{"2":12345678901234567890,"1":1.0,"1":-0}'), '{\n  "2": 12345678901234567890,\n  "1": 1.0,\n  "1": -0\n}');
});

test("line breaks inside a text are shown as such, escaped ones are not", () => {
  assert.equal(text(String.raw`{"a":"x\n\ty","b":"c:\\new"}`), '{\n  "a": "x\n      y",\n  "b": "c:' + String.raw`\\new` + '"\n}');
});

test("keys are told from texts", () => {
  assert.deepEqual(prettyJson('{"a":"b"}')?.map((t) => t.kind), ["mark", "key", "mark", "string", "mark"]);
});

test("what is not an object or an array is left alone", () => {
  for (const s of ["", "12", '"x"', "{not json}", "[1,", "[info] started"]) assert.equal(prettyJson(s), null, s);
});
