import assert from "node:assert/strict";
import { it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Failure } from "../failures/failures.ts";
import { Throttle } from "./throttle.ts";

it("tries are free up to the brim, and one more as time passes", () => {
  let now = 0;
  const throttle = new Throttle({ burst: 3, everyMs: 1000, clock: () => now });
  for (let i = 0; i < 3; i++) {
    assert.equal(throttle.wait("a"), 0);
    throttle.count("a");
  }
  assert.equal(throttle.wait("a"), 1000);
  assert.equal(throttle.wait("b"), 0, "another address waits, too");
  now = 1000;
  assert.equal(throttle.wait("a"), 0);
});

it("a client that goes on for long waits no longer than it takes to empty the bucket", () => {
  const throttle = new Throttle({ burst: 3, everyMs: 1000, clock: () => 0 });
  for (let i = 0; i < 1000; i++) throttle.count("a");
  assert.equal(throttle.wait("a"), 4000);
});

it("the memory is bounded: the key with the oldest try is forgotten first", () => {
  const throttle = new Throttle({ burst: 1, everyMs: 1000, keys: 2, clock: () => 0 });
  for (const key of ["a", "b", "a", "c"]) throttle.count(key);
  assert.equal(throttle.wait("b"), 0);
  assert.ok(throttle.wait("a") > 0);
  assert.ok(throttle.wait("c") > 0);
});

for (const [everyMs, held, seconds] of [
  [50, 50, 1],
  [60_000, 2_000, 60],
] as const) {
  it(`a try over the brim is refused after ${held} ms, and says to come back in ${seconds} s`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const throttle = new Throttle({ burst: 1, everyMs, clock: () => 0 });
    await throttle.failed("a");
    const said: unknown[] = [];
    void throttle.failed("a").catch((error: unknown) => said.push(error));
    t.mock.timers.tick(held - 1);
    await turn();
    assert.equal(said.length, 0);
    t.mock.timers.tick(1);
    await turn();
    const [failure] = said;
    assert.ok(failure instanceof Failure);
    assert.equal(failure.code, "too_many_tries");
    assert.equal(failure.facts["retryAfterSeconds"], seconds);
  });
}

it("time empties a bucket, a little at a time, and never below empty", () => {
  let now = 512;
  const throttle = new Throttle({ burst: 2, everyMs: 1024, clock: () => now });
  throttle.count("a");
  throttle.count("a");
  assert.equal(throttle.wait("a"), 1024);
  now = 768;
  assert.equal(throttle.wait("a"), 768);
  throttle.count("a");
  assert.equal(throttle.wait("a"), 1792);
  now = 100_000;
  assert.equal(throttle.wait("a"), 0);
  throttle.count("a");
  assert.equal(throttle.wait("a"), 0);
  throttle.count("a");
  assert.equal(throttle.wait("a"), 1024);
});

it("a try that was no failed one is taken back", () => {
  const throttle = new Throttle({ burst: 1, everyMs: 1000, clock: () => 0 });
  throttle.forgive("a");
  throttle.count("a");
  assert.throws(() => throttle.assertFree("a"), {
    code: "too_many_tries",
    message: "too many tries failed: the next one is free in 1 s",
  });
  throttle.forgive("a");
  throttle.assertFree("a");
  throttle.forgive("a");
  throttle.count("a");
  assert.equal(throttle.wait("a"), 1000, "it went below empty");
  throttle.count("a");
  throttle.forgive("a");
  assert.equal(throttle.wait("a"), 1000, "one try is taken back, not all of them");
});

it("answers are held back for two seconds at most, and a hundred at a time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const throttle = new Throttle({ burst: 1, everyMs: 60_000, clock: () => 0 });
  throttle.count("a");
  let told = 0;
  const held = Array.from({ length: 100 }, () => throttle.failed("a").catch(() => (told += 1)));
  // One too many does not wait.
  await assert.rejects(throttle.failed("a"), { code: "too_many_tries" });
  t.mock.timers.tick(1_999);
  await turn();
  assert.equal(told, 0);
  t.mock.timers.tick(1);
  await Promise.all(held);
  assert.equal(told, 100);
  const again = throttle.failed("a").catch(() => (told += 1));
  await turn();
  assert.equal(told, 100, "the places are given back");
  t.mock.timers.tick(2_000);
  await again;
});
