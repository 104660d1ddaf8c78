import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSentJson } from "./json-text.ts";

test("half of a surrogate pair is refused, in a text and in a name, however it is written", () => {
  for (const json of [
    String.raw`"\ud83d"`,
    String.raw`{"a":["b",{"c":"\uDE00\uD83D"}]}`,
    String.raw`{"\ud800":1}`,
    String.raw`["\ud800\\ud800"]`,
  ]) {
    assert.throws(() => parseSentJson(json), { code: "text_not_unicode" }, json);
  }
});

test("whole pairs are taken, escaped or not, and so is a backslash before what looks like half of one", () => {
  for (const json of [String.raw`"\ud83d\ude00"`, '"😀"', String.raw`{"\\ud800":"\\\\udc00"}`]) {
    assert.deepEqual(parseSentJson(json), JSON.parse(json));
  }
});

test("what is no JSON is a SyntaxError, and what is nested more than 500 times is refused, not a crash", () => {
  assert.throws(() => parseSentJson("{"), SyntaxError);
  for (const json of nested(500))
    assert.equal(JSON.stringify(parseSentJson(json)).length > 0, true);
  for (const json of [...nested(501), ...nested(200_000)]) {
    assert.throws(() => parseSentJson(json), { code: "json_too_deep" });
  }
});

function nested(times: number): string[] {
  return [
    "[".repeat(times) + String.raw`"\ud83d\ude00"` + "]".repeat(times),
    '{"a":'.repeat(times) + "1" + "}".repeat(times),
    "[".repeat(times) + "]".repeat(times),
  ];
}

test("a long text has at most 100,000 values, and what stands in its texts is none", () => {
  const space = " ".repeat(1024 * 1024);
  const zeros = (count: number): string => `[${"0,".repeat(count)}0${space}]`;
  assert.equal((parseSentJson(zeros(100_000)) as unknown[]).length, 100_001);
  assert.throws(() => parseSentJson(zeros(100_001)), { code: "too_many_parts" });
  const odd = `${",".repeat(60_000)}"\\${",".repeat(60_000)}\\"`;
  const text = JSON.stringify({ [odd]: odd, space });
  assert.deepEqual(parseSentJson(text), { [odd]: odd, space });
  assert.throws(() => parseSentJson(`["${",".repeat(200_000)}${space}`), SyntaxError);
});
