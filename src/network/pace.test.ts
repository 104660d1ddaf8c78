import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Pace } from "./pace.ts";

test("as much begins in each turn as may, in order, and all of it in the end", async () => {
  const pace = new Pace(3);
  const begun: number[] = [];
  const add = (i: number): void => void pace.turn().then(() => begun.push(i));
  for (let i = 0; i < 7; i += 1) add(i);
  await Promise.resolve();
  assert.deepEqual(begun, [0, 1, 2]);
  await turn();
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5]);
  add(7);
  await turn();
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5, 6, 7]);
  await turn();
  add(8);
  await Promise.resolve();
  assert.equal(begun.length, 9);
});
