import assert from "node:assert/strict";
import { test } from "node:test";
import * as q from "../src/lib/logql";

test("a selector is read with its operators and both kinds of strings", () => {
  const sel = q.findSelector('sum(rate({app="a b", env=~`x\\d`, z!="\\u00e9\\n"} |= "{not}" [5m]))');
  assert.deepEqual(sel?.matchers, [
    { name: "app", op: "=", value: "a b" },
    { name: "env", op: "=~", value: "x\\d" },
    { name: "z", op: "!=", value: "é\n" },
  ]);
});

test("labels may be called like anything", () => {
  for (const name of ["constructor", "toString", "valueOf", "hasOwnProperty", "rate", "count", "ip", "duration", "_"]) {
    assert.deepEqual(q.findSelector(`{a="b", ${name}="x"}`)?.matchers[1], { name, op: "=", value: "x" }, name);
  }
});

test("no selector, no answer", () => {
  assert.equal(q.findSelector(""), null);
  assert.equal(q.findSelector("vector(1)"), null);
  assert.equal(q.findSelector('{app="x"'), null);
});

test("choosing values writes =, then =~, then lifts the restriction", () => {
  let s = '{service_name=~".+"} |= "x"';
  s = q.setLabelValues(s, "service_name", ["user"]);
  assert.equal(s, '{service_name="user"} |= "x"');
  s = q.setLabelValues(s, "service_name", ["user", "plant"]);
  assert.equal(s, '{service_name=~"user|plant"} |= "x"');
  assert.deepEqual(q.selectedValues(s, "service_name"), ["user", "plant"]);
  s = q.setLabelValues(s, "service_name", []);
  assert.equal(s, '{service_name=~".+"} |= "x"');
});

test("the match-all matcher goes when another label selects, and comes back", () => {
  const s = q.setLabelValues('{service_name=~".+"}', "env", ["prod"]);
  assert.equal(s, '{env="prod"}');
  assert.equal(q.setLabelValues(s, "env", []), '{service_name=~".+"}');
});

test("values are escaped for RE2 and for the string", () => {
  const values = ["a.b", 'say "hi"', "c:\\d", "x|y", "(z)"];
  const s = q.setLabelValues("{a=\"1\"}", "path", values);
  assert.equal(s, '{a="1", path=~"a\\\\.b|say \\"hi\\"|c:\\\\\\\\d|x\\\\|y|\\\\(z\\\\)"}');
  assert.deepEqual(q.selectedValues(s, "path"), values);
});

test("a selector is edited inside a metric query, and other operators stay", () => {
  const s = 'sum by (level) (rate({app="x", pod!="p"}[1m]))';
  assert.equal(q.setLabelValues(s, "app", ["x", "y"]), 'sum by (level) (rate({app=~"x|y", pod!="p"}[1m]))');
});

test("an empty or broken query becomes a selector", () => {
  assert.equal(q.setLabelValues("", "app", ["x"]), '{app="x"}');
});

test("filtering out a label value keeps the selector legal", () => {
  assert.equal(q.excludeLabelValue('{app="x"}', "env", "t"), '{app="x", env!="t"}');
  assert.equal(q.excludeLabelValue('{service_name=~".+"}', "env", "t"), '{service_name=~".+", env!="t"}');
  assert.equal(q.excludeLabelValue('{app=~"x|y"}', "app", "x"), '{app="y"}');
  assert.equal(q.excludeLabelValue('{app="x"}', "app", "x"), '{service_name=~".+"}');
  const twice = q.excludeLabelValue('{app="x", env!="t"}', "env", "t");
  assert.equal(twice, '{app="x", env!="t"}');
});

test("a pattern is a choice of plain texts or nothing", () => {
  assert.deepEqual(q.alternatives("a|b\\.c"), ["a", "b.c"]);
  assert.deepEqual(q.alternatives(""), [""]);
  assert.equal(q.alternatives("a.*"), null);
  assert.equal(q.alternatives("a\\d"), null);
});

test("field filters are added once, at the end of the pipeline, and turned round", () => {
  let s = q.filterField('{a="b"} | json', "user", "u1", true);
  assert.equal(s, '{a="b"} | json | user="u1"');
  assert.equal(q.filterField(s, "user", "u1", true), s);
  s = q.filterField(s, "user", "u1", false);
  assert.equal(s, '{a="b"} | json | user!="u1"');
});

test("a field filter goes before the range of a metric query and before a comment", () => {
  assert.equal(q.filterField('count_over_time({a="b"} |= "x" [5m])', "k", "v", true), 'count_over_time({a="b"} |= "x" | k="v" [5m])');
  assert.equal(q.filterField('{a="b"} # note', "k", "v", true), '{a="b"} | k="v" # note');
});

test("lines or numbers", () => {
  assert.equal(q.isMetric('{a="b"} | json'), false);
  assert.equal(q.isMetric(' # c\n ({a="b"})'), false);
  assert.equal(q.isMetric('sum(rate({a="b"}[1m]))'), true);
  assert.equal(q.isMetric("1 + 1"), true);
  assert.equal(q.isMetric('{a="b"'), false);
  assert.equal(q.isMetric('rate({a="b"'), true);
});

test("parser stages are noticed", () => {
  assert.equal(q.hasParser('{a="b"} |= "json"'), false);
  for (const p of ["json", 'json x="y"', "logfmt", "logfmt --strict", 'pattern "<x>"', 'regexp "(?P<x>y)"', "unpack"]) {
    assert.equal(q.hasParser(`{a="b"} | ${p}`), true, p);
  }
});

test("the legend's stage is told from other filters", () => {
  const mine = q.splitLevelStage('{a="b"} | json | detected_level=~"error|err" | x="y"');
  assert.equal(mine.rest, '{a="b"} | json | x="y"');
  assert.equal(mine.matchers.length, 1);
  for (const s of ['{a="b"} | level!="x"', '{a="b"} | level="x" or user="y"', '{level="x"}', '{a="b"} | level="x" or n > 5']) {
    assert.deepEqual(q.splitLevelStage(s), { rest: s, matchers: [] }, s);
  }
});

test("words to mark come from line filters that look for plain text", () => {
  const s = '{a="b"} |= "one" |~ "two|three" != "four" |~ "fi.e" |= `si"x` or "seven"';
  assert.deepEqual(q.searchedTexts(s), ["one", "two", "three", 'si"x', "seven"]);
});

test("the context of a completion", () => {
  const at = (s: string) => q.cursorContext(s.replace("^", ""), s.indexOf("^"));
  assert.deepEqual(at("{^"), { kind: "label", from: 1 });
  assert.deepEqual(at('{a="b", se^'), { kind: "label", from: 8 });
  assert.deepEqual(at('{a="x^'), { kind: "value", from: 4, name: "a", inSelector: true });
  assert.deepEqual(at('{a=~"^"}'), { kind: "value", from: 5, name: "a", inSelector: true });
  assert.deepEqual(at('{a="b"} | lo^'), { kind: "stage", from: 10 });
  assert.deepEqual(at('{a="b"} | user="^'), { kind: "value", from: 16, name: "user", inSelector: false });
  assert.deepEqual(at("su^"), { kind: "function", from: 0 });
  assert.deepEqual(at("sum(ra^"), { kind: "function", from: 4 });
  assert.equal(at('{a="b"} |= "lo^').kind, "none");
  assert.equal(at("# su^").kind, "none");
});
