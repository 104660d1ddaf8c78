import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");

test("each share that docs/security.md promises names the tests that hold it to its word", () => {
  const text = readFileSync(join(root, "docs/security.md"), "utf8");
  const [, shares = ""] = text.split("\n## Shares\n");
  const rows = shares
    .split("\n## ")[0]!
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .slice(2)
    .map((line) => line.split("|").map((cell) => cell.trim()));
  assert.ok(rows.length > 30, "the table was found");
  for (const [, resource, , , , tests = ""] of rows) {
    const named = tests.split(", ");
    assert.ok(
      named.every((file) => file.endsWith(".test.ts") && existsSync(join(root, file))),
      `${resource}: "${tests}" is no list of tests`,
    );
  }
});
