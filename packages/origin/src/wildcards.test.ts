import assert from "node:assert/strict";
import { test } from "node:test";
import { assert as check, constantFrom, property, string } from "fast-check";
import { matchesPattern } from "./wildcards.ts";

/** The same as a regular expression. */
function regex(pattern: string): RegExp {
  const source = pattern
    .split(/(\*+)/)
    .map((part) =>
      part.startsWith("*")
        ? part.length > 1
          ? ".*"
          : "[^/]*"
        : part.replaceAll(/[.*+?^${}()|[\]\\/]/g, "\\$&"),
    )
    .join("");
  return new RegExp(`^${source}$`, "s");
}

test("a pattern matches what its regular expression does", () => {
  const some = string({ unit: constantFrom("a", "b", "/", ".", "\n"), maxLength: 12 });
  const pattern = string({ unit: constantFrom("a", "b", "/", ".", "*", "**"), maxLength: 8 });
  check(
    property(pattern, some, (one, text) => {
      assert.equal(matchesPattern(one, text), regex(one).test(text), `${one} on ${text}`);
    }),
    { numRuns: 20_000 },
  );
});

test("no pattern and no text take long", () => {
  const began = performance.now();
  assert.equal(matchesPattern(`${"*a".repeat(500)}*b`, "a".repeat(4_000)), false);
  assert.equal(matchesPattern(`${"**a".repeat(500)}**`, "a".repeat(4_000)), true);
  assert.equal(matchesPattern("/*x*y", `/${"x".repeat(200_000)}`), false);
  assert.ok(performance.now() - began < 2_000);
});
