import assert from "node:assert/strict";
import { test } from "node:test";
import { IN_MEMORY, Pace } from "./instance-pace.ts";

test("some pass at once, and the rest in their order, as fast as is said", () => {
  let now = 0;
  const pace = new Pace({ atOnce: 100, perSecond: 10 }, () => now);
  assert.equal(pace.take(60), 0);
  assert.equal(pace.take(40), 0);
  assert.equal(pace.take(10), 1_000);
  assert.equal(pace.take(10), 2_000);
  now = 3_000;
  assert.equal(pace.take(10), 0, "what passed later was counted");
  now = 1_000_000;
  assert.equal(pace.take(100), 0);
  assert.equal(pace.take(1), 100, "no more than `atOnce` is saved up");
});

test("what is in memory at a time stays far below what a Worker has", () => {
  let now = 0;
  const pace = new Pace(IN_MEMORY, () => now);
  const passed: number[] = [];
  for (let i = 0; i < 2_000; i++) passed.push(now + pace.take(1));
  const most = Math.max(
    ...passed.map((from) => passed.filter((at) => at >= from && at < from + 5_000).length),
  );
  assert.ok(most <= 400, String(most));
  now = passed.at(-1)!;
  assert.ok(now < 60_000, String(now));
});
