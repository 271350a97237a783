import assert from "node:assert/strict";
import { test } from "node:test";
import { errorSpan, parseErrorText } from "../src/lib/errors";

test("position and message", () => {
  const text = "parse error at line 1, col 12: syntax error: unexpected IDENTIFIER, expecting STRING or ip\n";
  assert.deepEqual(parseErrorText(text), {
    line: 1, col: 12, message: "syntax error: unexpected IDENTIFIER, expecting STRING or ip",
  });
  assert.equal(parseErrorText("parse error : input size too long"), null);
  assert.equal(parseErrorText("anything else"), null);
  assert.equal(parseErrorText("parse error at line 0, col 13: x")?.line, 1);
});

test("the word at the position is underlined", () => {
  const at = (s: string, line: number, col: number) => {
    const span = errorSpan(s, { line, col });
    return span && s.slice(span.from, span.to);
  };
  assert.equal(at('{a="b"} |= foo bar', 1, 12), "foo");
  assert.equal(at('{a="b"}\n\n| foo bar', 3, 7), "bar");
  assert.equal(at('{é="😀"} |= foo', 1, 12), "foo");
  assert.equal(at('{a="b"', 1, 7), '"');
  assert.equal(at('{a="b"  ', 1, 9), '"');
  assert.equal(at('{a="b"} | x == "a b"', 1, 16), '"a b"');
  assert.equal(at("x", 9, 9), "x");
  assert.equal(at("", 1, 1), null);
});
