import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { endWithClock } from "./clock-watch.ts";

test("a process of storage ends when the clock is set back, not when it is set forward or corrected a little", async () => {
  mock.timers.enable({ apis: ["setInterval"] });
  const { promise, resolve } = Promise.withResolvers<string>();
  let stops = 0;
  const stop = async (): Promise<void> => {
    stops += 1;
    resolve("killed by SIGKILL");
  };
  let [now, passed] = [1_000_000_000, 5_000];
  const clock = { now: () => now, passed: () => passed };
  const run = endWithClock({ pid: 1, ended: promise, stop, memory: () => null }, clock);
  const second = (step: number): void => {
    passed += 1_000;
    now += 1_000 + step;
    mock.timers.tick(1_000);
  };
  for (const step of [0, 86_400_000, 0, -5_000, 0, 0]) second(step);
  assert.equal(stops, 0);
  second(-3_600_000);
  second(0);
  assert.equal(stops, 1);
  assert.equal(await run.ended, "the clock was set back by 3605 s");
  mock.timers.reset();
});
