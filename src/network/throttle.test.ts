import assert from "node:assert/strict";
import { it } from "node:test";
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

it("whoever goes on for long waits no longer than it takes to empty the bucket", () => {
  const throttle = new Throttle({ burst: 3, everyMs: 1000, clock: () => 0 });
  for (let i = 0; i < 1000; i++) throttle.count("a");
  assert.equal(throttle.wait("a"), 4000);
});

it("the memory is bounded: who has not tried for longest is forgotten", () => {
  const throttle = new Throttle({ burst: 1, everyMs: 1000, keys: 2, clock: () => 0 });
  for (const key of ["a", "b", "a", "c"]) throttle.count(key);
  assert.equal(throttle.wait("b"), 0);
  assert.ok(throttle.wait("a") > 0);
  assert.ok(throttle.wait("c") > 0);
});

it("a try over the brim is refused late, and says when to come back", async () => {
  const throttle = new Throttle({ burst: 1, everyMs: 50, clock: () => 0 });
  await throttle.failed("a");
  const began = performance.now();
  await assert.rejects(throttle.failed("a"), (error) => {
    assert.ok(error instanceof Failure);
    assert.equal(error.code, "too_many_tries");
    assert.equal(error.facts["retryAfterSeconds"], 1);
    return true;
  });
  assert.ok(performance.now() - began >= 45);
});

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
});

it("answers are held back for two seconds at most, and a hundred at a time", async () => {
  const throttle = new Throttle({ burst: 1, everyMs: 100, clock: () => 0 });
  throttle.count("a");
  const began = performance.now();
  const held = Array.from({ length: 100 }, () => throttle.failed("a").catch(() => "held"));
  await assert.rejects(throttle.failed("a"), { code: "too_many_tries" });
  assert.ok(performance.now() - began < 90, "one too many waited");
  assert.deepEqual(new Set(await Promise.all(held)), new Set(["held"]));
  const again = performance.now();
  await assert.rejects(throttle.failed("a"));
  assert.ok(performance.now() - again >= 95, "the places are not given back");
});
