import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "node:test";
import { CpuWatch, StillWatch } from "./worker-limits.ts";

/** 50 ms of CPU; patience of 150 ms. */
const LIMIT = 0.05;

interface Watched {
  cpu: number;
  isStopped: boolean;
}

function watched(): { state: Watched; watch: CpuWatch; answer: () => void } {
  const state = { cpu: 0, isStopped: false };
  const { promise, resolve } = Promise.withResolvers<void>();
  const watch = new CpuWatch(
    () => ({ ...state }),
    LIMIT,
    () => promise,
  );
  // It has done something, and is asked.
  state.cpu += 30;
  assert.equal(watch.look(), null);
  return { state, watch, answer: resolve };
}

test("a Worker that gets no CPU on a busy machine is not taken for one that loops", async () => {
  const { state, watch } = watched();
  state.cpu += 5;
  await delay(200);
  assert.equal(watch.look(), null);
});

test("a loop that gets only a part of a core is found all the same", async () => {
  const { state, watch } = watched();
  state.cpu += 20;
  assert.equal(watch.look(), null);
  await delay(200);
  assert.match(watch.look()!, /^it answered nothing for 0\.\d s/);
});

test("a loop is found once it has used up its limit, and not if it has answered", async () => {
  const looping = watched();
  looping.state.cpu += 60;
  assert.match(looping.watch.look()!, /computed for 0\.1 s/);
  const answering = watched();
  answering.answer();
  await delay(0);
  answering.state.cpu += 60;
  assert.equal(answering.watch.look(), null);
});

test("a Worker that a signal has stopped is found after five seconds, one that goes on is not", () => {
  let isStopped = true;
  const watch = new StillWatch(() => ({ cpu: 0, isStopped }));
  const looks = (count: number) => Array.from({ length: count }, () => watch.look());
  assert.ok(!looks(10).includes(true));
  isStopped = false;
  assert.equal(watch.look(), false);
  isStopped = true;
  assert.deepEqual(looks(11).lastIndexOf(false), 9);
});
