import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parse, type JSONPath } from "jsonc-parser";
import { edited } from "./edit-json.ts";

const cases: readonly [name: string, text: string, path: JSONPath, expected: string][] = [
  [
    "the lines before are as they were",
    `{\n  "name": "a",\n  "vars": { "A": 1,"B":2 } // as it is\n}\n`,
    ["certs"],
    `{\n  "name": "a",\n  "vars": { "A": 1,"B":2 }, // as it is\n  "certs": true\n}\n`,
  ],
  [
    "a trailing comma stays one",
    `{\n\t"name": "a", /* , */\n}`,
    ["certs"],
    `{\n\t"name": "a", /* , */\n\t"certs": true,\n}`,
  ],
  ["one line stays one", `{ "a": 1 }`, ["b"], `{ "a": 1, "b": true }`],
  ["nothing is there yet", `{}`, ["env", "live", "b"], `{ "env": { "live": { "b": true } } }`],
  ["a value is replaced", `{"a":  0,\n"b": [ ]}`, ["a"], `{"a":  true,\n"b": [ ]}`],
  ["a list is added to", `{"l": [{"x":1}]}`, ["l", -1], `{"l": [{"x":1}, true]}`],
  [
    "a list is added to, a line for each",
    `{\r\n  "l": [\r\n    1\r\n  ]\r\n}`,
    ["l", -1],
    `{\r\n  "l": [\r\n    1,\r\n    true\r\n  ]\r\n}`,
  ],
  ["a comment is all there is", `{ // later\n}`, ["a"], `{ // later\n  "a": true\n}`],
  ["a list is empty", `{"l": []}`, ["l", -1], `{"l": [true]}`],
];

for (const [name, text, path, expected] of cases) {
  test(`JSONC is edited: ${name}`, () => assert.equal(edited(text, path, true), expected));
}

test("however an object is written, it has the member afterwards, and the others", () => {
  const member = fc.constantFrom(`"a": {"b": [1, 2]}`, `"c": "//"`, `"d": "/* , */"`, `"e": null`);
  const space = fc.constantFrom("", " ", "\n", "\n\t", "\r\n  ", " // x, y\n", " /* , */ ");
  const object = fc
    .tuple(
      fc.uniqueArray(fc.tuple(space, member, space), { selector: ([, m]) => m }),
      space,
      fc.boolean(),
    )
    .map(([members, end, comma]) => {
      const all = members.map((parts) => parts.join("")).join(",");
      return `{${all}${comma && members.length > 0 ? "," : ""}${end}}`;
    });
  fc.assert(
    fc.property(
      object,
      fc.constantFrom<JSONPath>(["new"], ["new", "inner"], ["a", "new"]),
      (text, path) => {
        const errors: never[] = [];
        const before = parse(text) as Record<string, unknown>;
        const after = parse(edited(text, path, 7), errors, {
          allowTrailingComma: true,
        }) as typeof before;
        assert.deepEqual(errors, [], edited(text, path, 7));
        if (path[0] === "a" && before["a"] !== undefined) {
          assert.deepEqual(after, { ...before, a: { b: [1, 2], new: 7 } });
        } else assert.deepEqual(after, { ...before, ...(parse(edited("{}", path, 7)) as object) });
      },
    ),
  );
});
