import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { FairShares, TooManyWait } from "./fair-shares.ts";

const never = (): Promise<never> => new Promise(() => {});

test("what waits begins when something of its owner ends, whether that succeeded or failed", async () => {
  const shares = new FairShares(Infinity, [1]);
  const first = Promise.withResolvers<string>();
  const begun: string[] = [];
  const run = (name: string, work: () => Promise<unknown>): Promise<unknown> =>
    shares.within(["a"], () => {
      begun.push(name);
      return work();
    });
  const all = [
    run("first", () => first.promise),
    run("throws", () => {
      throw new Error("thrown");
    }),
    run("third", async () => "third"),
  ];
  assert.deepEqual(begun, ["first"]);
  assert.equal(await shares.within(["b"], async () => "other"), "other");
  first.resolve("done");
  assert.deepEqual(
    (await Promise.allSettled(all)).map((one) =>
      one.status === "fulfilled" ? one.value : (one.reason as Error).message,
    ),
    ["done", "thrown", "third"],
  );
});

test("who waits too long, or is called off, is told so, and its work never begins", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const shares = new FairShares(Infinity, [1], 2);
  const giveBack = shares.take(["a"])!;
  const off = new AbortController();
  const late = shares.within(["a"], never, { patience: 10 });
  const called = shares.within(["a"], never, { signal: off.signal });
  await assert.rejects(shares.within(["a"], never), TooManyWait);
  off.abort(new Error("called off"));
  t.mock.timers.tick(10);
  await assert.rejects(late, TooManyWait);
  await assert.rejects(called, /called off/);
  giveBack();
  await turn();
  assert.notEqual(shares.take(["a"]), null, "neither holds what was given back");
});

test("what has begun is neither late nor called off", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const shares = new FairShares(Infinity, [1]);
  const giveBack = shares.take(["a"])!;
  const off = new AbortController();
  const work = Promise.withResolvers<string>();
  const waits = shares.within(["a"], () => work.promise, { signal: off.signal, patience: 10 });
  giveBack();
  t.mock.timers.tick(10);
  off.abort();
  work.resolve("done");
  assert.equal(await waits, "done");
});
