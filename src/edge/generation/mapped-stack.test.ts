import assert from "node:assert/strict";
import { test } from "node:test";
import { mapped } from "./mapped-stack.ts";

// The first column of the first line was made from line 8, column 3 of src/a.ts.
const MAP = JSON.stringify({ version: 3, sources: ["../src/a.ts"], names: [], mappings: "AAOE" });

const read = (name: string): Promise<string | null> =>
  Promise.resolve(name === "index.js" ? MAP : null);
const none = (): Promise<null> => Promise.resolve(null);

test("frames are told by the place in the source, and all else stays", async () => {
  const stack = [
    "Error: at index.js:1:1",
    "    at index.js:1:1",
    "    at async Object.fetch (index.js:1:1)",
    "    at other.js:1:1",
    "    at (index.js:1:1) more",
    "",
  ].join("\n");
  assert.equal(
    await mapped(stack, read),
    [
      "Error: at index.js:1:1",
      "    at src/a.ts:8:3",
      "    at async Object.fetch (src/a.ts:8:3)",
      "    at other.js:1:1",
      "    at (index.js:1:1) more",
      "",
    ].join("\n"),
  );
});

test("no stack takes long to read, whatever a Worker has written into it", async () => {
  for (const part of ["(a", "a:1", ":1", "(:1:1", " at "]) {
    const line = `    at ${part.repeat(200_000 / part.length)})`;
    const began = performance.now();
    const stack = `Error\n${line}`;
    assert.equal(await mapped(stack, none), stack);
    await mapped(`    at ${part.repeat(900 / part.length)}\n`.repeat(5_000), none);
    assert.ok(performance.now() - began < 1_000, part);
  }
});

test("a map that would take long to read is not, and few are read for one stack", async () => {
  const large = `${MAP}${" ".repeat(17 * 1024 * 1024)}`;
  const stack = "Error\n    at index.js:1:1";
  assert.equal(await mapped(stack, () => Promise.resolve(large)), stack);
  const asked = new Set<string>();
  const many = Array.from({ length: 100 }, (_, n) => `    at m${n}.js:1:1`).join("\n");
  await mapped(many, (name) => {
    asked.add(name);
    return Promise.resolve(null);
  });
  assert.equal(asked.size, 4);
});
