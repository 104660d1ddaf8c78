import assert from "node:assert/strict";
import { test } from "node:test";
import { Shares } from "./shares.ts";

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

test("an owner that has given all back may have as many again", () => {
  const shares = new Shares(1);
  shares.take("a")!();
  shares.take("a")!();
  assert.notEqual(shares.take("a"), null);
  assert.equal(shares.take("a"), null);
});
