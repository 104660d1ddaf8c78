import assert from "node:assert/strict";
import { test } from "node:test";
import { Lookups, type Resolve } from "./lookups.ts";

const address = [{ address: "192.0.2.1", family: 4 }];

/** Names that begin with "slow" never resolve; `asked` are those that were asked for. */
function world(): { resolve: Resolve; asked: string[] } {
  const asked: string[] = [];
  const resolve: Resolve = (host) => {
    asked.push(host);
    return host.startsWith("slow") ? new Promise(() => {}) : Promise.resolve(address);
  };
  return { resolve, asked };
}

const SHARES = { binding: 2, worker: 6, account: 12, all: 60 };

test("slow names of nine accounts leave another's look-ups alone", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, SHARES);
  const many = [...Array(20).keys()].map(String);
  for (const account of many.slice(0, 9)) {
    for (const worker of many) {
      for (const binding of many) {
        const lookup = lookups.of({ account, worker, binding });
        for (let i = 0; i < 4; i += 1) void lookup(`slow${i}`);
      }
    }
    if (account === "0") assert.equal(asked.length, 12);
  }
  assert.deepEqual(await lookups.of({ account: "other" })("quick"), address);
});

test("slow names of one Worker leave another of its account alone", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, SHARES);
  for (const worker of ["greedy", "like it"]) {
    for (let i = 0; i < 64; i += 1) {
      void lookups.of({ account: "a", worker, binding: `${i}` })(`slow${i}`);
    }
  }
  assert.equal(asked.length, 7);
  const other = lookups.of({ account: "a", worker: "other", binding: "one" });
  assert.deepEqual(await other("quick"), address);
});

test("slow names of one binding leave another of its account alone, and it has a bounded queue", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, SHARES);
  const failed: unknown[] = [];
  for (let i = 0; i < 300; i += 1) {
    lookups
      .of({ account: "a", binding: "greedy" })(`slow${i}`)
      .catch((error: { code: string }) => failed.push(error.code));
  }
  assert.equal(asked.length, 2);
  assert.deepEqual(await lookups.of({ account: "a", binding: "other" })("quick"), address);
  assert.deepEqual(new Set(failed), new Set(["TOO_MANY_LOOKUPS"]));
  assert.equal(failed.length, 300 - 2 - 256);
});

test("what waits is looked up when its share is free again", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, { ...SHARES, binding: 1 });
  const found = await Promise.all(
    ["a", "b", "c"].map((host) => lookups.of({ account: "a", binding: "b" })(host)),
  );
  assert.deepEqual(found, [address, address, address]);
  assert.deepEqual(asked, ["a", "b", "c"]);
});

test("who waits for a look-up and goes away leaves the queue, and is never looked up", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, { ...SHARES, binding: 1 });
  const first = Promise.withResolvers<typeof address>();
  const held = new Lookups(
    (host) => {
      asked.push(host);
      return host === "held" ? first.promise : resolve(host);
    },
    { ...SHARES, binding: 1 },
  );
  const running = held.of({ account: "a", binding: "b" })("held");
  const gone = new AbortController();
  const waiting = held.of({ account: "a", binding: "b" })("unwanted", gone.signal);
  gone.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  first.resolve(address);
  await running;
  await held.of({ account: "a", binding: "b" })("wanted");
  assert.deepEqual(asked.includes("unwanted"), false);
  assert.deepEqual(await lookups.of({ account: "a", binding: "b" })("quick"), address);
});

test("a free thread goes to the account that uses the fewest, not to the longest queue", async () => {
  const asked: string[] = [];
  const ends: (() => void)[] = [];
  const lookups = new Lookups(
    (host) => {
      asked.push(host);
      return new Promise((resolve) => ends.push(() => resolve(address)));
    },
    { binding: 8, worker: 8, account: 8, all: 5 },
  );
  // Two are half of what one leaves.
  const all = [1, 2, 3, 4, 5, 6].map((i) => lookups.of({ account: "greedy" })(`greedy${i}`));
  for (const account of ["b", "c", "d", "other"]) all.push(lookups.of({ account })(account));
  assert.deepEqual(asked, ["greedy1", "greedy2", "b", "c", "d"]);
  ends[0]!();
  await all[0];
  assert.deepEqual(asked.slice(5), ["other"]);
  for (let i = 1; i < 10; i += 1) {
    ends[i]!();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(all);
});

test("a resolver that throws gives its share back", async () => {
  let calls = 0;
  const lookups = new Lookups(
    () => {
      calls += 1;
      if (calls <= 3) throw new Error("at once");
      return Promise.resolve(address);
    },
    { binding: 1, worker: 1, account: 1, all: 1 },
  );
  for (let i = 0; i < 3; i += 1)
    await assert.rejects(lookups.of({ account: "a", binding: "b" })("x"), /at once/);
  assert.deepEqual(await lookups.of({ account: "a", binding: "b" })("x"), address);
});
