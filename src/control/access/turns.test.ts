import assert from "node:assert/strict";
import { test } from "node:test";
import { Turns } from "./turns.ts";

function pending(): { work: () => Promise<void>; end: (() => void)[]; most: () => number } {
  const end: (() => void)[] = [];
  let now = 0;
  let most = 0;
  return {
    end,
    most: () => most,
    work: async () => {
      most = Math.max(most, ++now);
      await new Promise<void>((resolve) => end.push(resolve));
      now--;
    },
  };
}

test("no more work at once than there may be, and each key gets its turn", async () => {
  const turns = new Turns({ atOnce: 2, waiting: 5, waitingInAll: 100 });
  const { work, end, most } = pending();
  const order: string[] = [];
  const all = ["a", "a", "a", "a", "a", "b", "c"].map((key) =>
    turns.run(key, async () => {
      order.push(key);
      await work();
    }),
  );
  for (let i = 0; i < all.length; i++) {
    while (end[i] === undefined) await new Promise((resolve) => setImmediate(resolve));
    end[i]!();
  }
  await Promise.all(all);
  assert.equal(order.length, 7);
  assert.ok(order.indexOf("c") <= 5 && order.indexOf("b") <= 4, order.join(""));
  assert.equal(most(), 2);
});

test("a key whose queue is full is refused for now, while others go on waiting", async () => {
  const turns = new Turns({ atOnce: 1, waiting: 2, waitingInAll: 3 });
  const { work, end } = pending();
  const first = ["a", "a", "a"].map((key) => turns.run(key, work));
  await assert.rejects(turns.run("a", work), { code: "too_many_tries" });
  const other = turns.run("b", work);
  await assert.rejects(turns.run("c", work), { code: "too_many_tries" });
  for (let i = 0; i < 4; i++) {
    while (end[i] === undefined) await new Promise((resolve) => setImmediate(resolve));
    end[i]!();
  }
  await Promise.all([...first, other]);
});
