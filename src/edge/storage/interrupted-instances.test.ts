import assert from "node:assert/strict";
import { test } from "node:test";
import { pauseBefore } from "./interrupted-instances.ts";

test("instances go on at once, and later where the process ends again and again", () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 9, 10, 100, 5_000].map(pauseBefore),
    [0, 0, 0, 1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000],
  );
});
