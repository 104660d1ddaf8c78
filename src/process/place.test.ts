import assert from "node:assert/strict";
import { test } from "node:test";
import { shareOf, someOf } from "./place.ts";

const dealt = (deal: typeof shareOf, limit: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => deal(limit, { index, count }));

test("the shares of all processes are the limit, whatever their number", () => {
  for (const [limit, count] of [
    [512, 1],
    [512, 3],
    [1_024, 7],
    [8, 5],
    [32, 32],
  ] as const) {
    const shares = dealt(shareOf, limit, count);
    assert.equal(
      shares.reduce((sum, one) => sum + one),
      limit,
    );
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 1);
  }
});

test("what each process needs one of is dealt out as far as it goes, and one at least to each", () => {
  assert.deepEqual(dealt(someOf, 8, 1), [8]);
  assert.deepEqual(dealt(someOf, 8, 3), [2, 3, 3]);
  assert.deepEqual(dealt(someOf, 2, 4), [1, 1, 1, 1]);
});
