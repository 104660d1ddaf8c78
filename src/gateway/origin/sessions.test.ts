import assert from "node:assert/strict";
import { test } from "node:test";
import { Sessions } from "./sessions.ts";

/** Tickets are told apart by their first byte. */
function world(resumes = true): {
  readonly sessions: Sessions;
  readonly time: { now: number };
  readonly add: (...names: readonly number[]) => void;
  readonly take: () => number | null;
} {
  const time = { now: 1_000 };
  const clock = { now: () => time.now, after: () => assert.fail("it waits for nothing") };
  const sessions = new Sessions(resumes, clock);
  return {
    sessions,
    time,
    add: (...names) => {
      for (const name of names) sessions.add(Buffer.from([name]));
    },
    take: () => sessions.take()?.ticket[0] ?? null,
  };
}

test("each ticket is used once, the newest first", () => {
  const { add, take } = world();
  add(1, 2);
  assert.deepEqual([take(), take(), take()], [2, 1, null]);
});

test("a ticket is used for ten minutes, and then no more", () => {
  const { add, take, time } = world();
  add(1, 2);
  time.now += 599_999;
  assert.equal(take(), 2);
  time.now += 1;
  assert.equal(take(), null);
});

test("32 tickets are kept: the oldest go", () => {
  const { add, take } = world();
  add(...Array.from({ length: 34 }, (_, index) => index));
  const taken = Array.from({ length: 33 }, take);
  assert.deepEqual(
    taken,
    Array.from({ length: 33 }, (_, index) => (index < 32 ? 33 - index : null)),
  );
});

test("a session is taken back, with the age that it has, where no newer one is kept", () => {
  const { sessions, add, take, time } = world();
  add(1);
  const first = sessions.take()!;
  time.now += 599_999;
  sessions.takeBack(first);
  sessions.takeBack(first);
  assert.deepEqual([take(), take()], [1, null]);
  sessions.takeBack(first);
  time.now += 1;
  assert.equal(take(), null);
  add(2);
  sessions.takeBack(first);
  assert.deepEqual([take(), take()], [2, null]);
});

test("what was forgotten is not resumed, what comes later is", () => {
  const { sessions, add, take } = world();
  add(1);
  sessions.clear();
  assert.equal(take(), null);
  add(2);
  assert.equal(take(), 2);
});

test("an origin that refuses its own tickets is offered none any more", () => {
  const { sessions, add, take } = world();
  add(1);
  sessions.giveUp();
  assert.equal(take(), null);
  add(2);
  assert.equal(take(), null);
});

test("without resumption no ticket is kept", () => {
  const { add, take } = world(false);
  add(1);
  assert.equal(take(), null);
});
