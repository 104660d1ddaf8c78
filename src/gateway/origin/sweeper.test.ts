import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../../test/helpers/fake-clock.ts";
import { Sweeper } from "./sweeper.ts";

test("it sweeps every 30 s, and not once it was stopped", () => {
  const { clock, sweeper, sweeps } = start(Infinity);
  clock.advance(29_999);
  assert.deepEqual(sweeps, []);
  clock.advance(60_001);
  assert.deepEqual(sweeps, [30_000, 60_000, 90_000]);
  sweeper.stop();
  clock.advance(100_000);
  assert.equal(sweeps.length, 3);
});

test("it sweeps at the moment at which something in use ends", () => {
  const { clock, sweeper, sweeps } = start(Infinity);
  sweeper.bringForward(12_345);
  sweeper.bringForward(20_000);
  clock.advance(12_345);
  assert.deepEqual(sweeps, [12_345]);
  clock.advance(30_000);
  assert.deepEqual(sweeps, [12_345, 42_345]);
});

test("what a sweep leaves in use brings the next one forward", () => {
  const { clock, sweeps } = start(31_000);
  clock.advance(31_000);
  assert.deepEqual(sweeps, [30_000, 31_000]);
});

/** @param until when what is in use ends */
function start(until: number): { clock: FakeClock; sweeper: Sweeper; sweeps: number[] } {
  const clock = new FakeClock(0);
  const sweeps: number[] = [];
  const sweeper = new Sweeper(clock, (now) => {
    sweeps.push(now);
    return until > now ? until : Infinity;
  });
  return { clock, sweeper, sweeps };
}
