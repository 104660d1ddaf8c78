import assert from "node:assert/strict";
import { test } from "node:test";
import { MappingTime } from "./mapping-time.ts";

test("a Worker has its share of the time, and all together have one", async () => {
  let now = 0;
  const time = new MappingTime(() => now);
  const takes = (worker: string, ms: number) =>
    time.within(worker, async () => {
      now += ms;
      return "mapped";
    });
  assert.equal(await takes("one", 600), "mapped");
  assert.equal(await takes("one", 1), null);
  assert.equal(await takes("other", 1), "mapped");
  now += 10_000;
  assert.equal(await takes("one", 1), "mapped");
  for (let n = 0; n < 20; n += 1) await takes(`n${n}`, 400);
  assert.equal(await takes("last", 1), null);
  now += 60_000;
  assert.equal(await takes("last", 1), "mapped");
});
