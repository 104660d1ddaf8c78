import assert from "node:assert/strict";
import { test } from "node:test";
import { shareOf, Shares, someOf } from "./shares.ts";

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

test("an owner has as many as it may at once, whatever the others have", () => {
  const shares = new Shares(2);
  const [first, second] = [shares.take("a"), shares.take("a")];
  assert.equal(shares.take("a"), null);
  assert.notEqual(shares.take("b"), null);
  first!();
  assert.notEqual(shares.take("a"), null);
  assert.equal(shares.take("a"), null);
  second!();
  assert.notEqual(shares.take("a"), null);
});

test("who has given all back may have as many again", () => {
  const shares = new Shares(1);
  shares.take("a")!();
  shares.take("a")!();
  assert.notEqual(shares.take("a"), null);
  assert.equal(shares.take("a"), null);
});
