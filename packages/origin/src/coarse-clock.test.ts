import assert from "node:assert/strict";
import { test } from "node:test";
import { coarseClock } from "./coarse-clock.ts";

test("a coarse clock is at most 100 ms behind, and follows a clock that is set back", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let machine = 1_000_000;
  const asked = t.mock.method(Date, "now", () => machine);
  const clock = coarseClock();
  assert.equal(clock(), 1_000_000);
  machine = 5_000;
  t.mock.timers.tick(99);
  assert.equal(clock(), 1_000_000);
  assert.equal(asked.mock.callCount(), 1);
  t.mock.timers.tick(1);
  assert.equal(clock(), 5_000);
});
