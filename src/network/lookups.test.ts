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

test("slow names of one account leave another's look-ups alone", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, { binding: 2, account: 8, all: 56 });
  for (const binding of ["one", "two", "three", "four", "five", "six"]) {
    for (let i = 0; i < 64; i += 1) void lookups.of("greedy", binding)(`slow${i}`);
  }
  assert.equal(asked.length, 8);
  assert.deepEqual(await lookups.of("other", "one")("quick"), address);
});

test("slow names of one binding leave another of its account alone, and it has a bounded queue", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, { binding: 2, account: 8, all: 56 });
  const failed: unknown[] = [];
  for (let i = 0; i < 300; i += 1) {
    lookups
      .of(
        "a",
        "greedy",
      )(`slow${i}`)
      .catch((error: { code: string }) => failed.push(error.code));
  }
  assert.equal(asked.length, 2);
  assert.deepEqual(await lookups.of("a", "other")("quick"), address);
  assert.deepEqual(new Set(failed), new Set(["TOO_MANY_LOOKUPS"]));
  assert.equal(failed.length, 300 - 2 - 256);
});

test("what waits is looked up when its share is free again", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, { binding: 1, account: 8, all: 56 });
  const found = await Promise.all(["a", "b", "c"].map((host) => lookups.of("a", "b")(host)));
  assert.deepEqual(found, [address, address, address]);
  assert.deepEqual(asked, ["a", "b", "c"]);
});

test("who waits for a look-up and goes away leaves the queue, and is never looked up", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve, { binding: 1, account: 8, all: 56 });
  const first = Promise.withResolvers<typeof address>();
  const held = new Lookups(
    (host) => {
      asked.push(host);
      return host === "held" ? first.promise : resolve(host);
    },
    { binding: 1, account: 8, all: 56 },
  );
  const running = held.of("a", "b")("held");
  const gone = new AbortController();
  const waiting = held.of("a", "b")("unwanted", gone.signal);
  gone.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  first.resolve(address);
  await running;
  await held.of("a", "b")("wanted");
  assert.deepEqual(asked.includes("unwanted"), false);
  assert.deepEqual(await lookups.of("a", "b")("quick"), address);
});

test("a free thread goes to the account that uses the fewest, not to the longest queue", async () => {
  const asked: string[] = [];
  const ends: (() => void)[] = [];
  const lookups = new Lookups(
    (host) => {
      asked.push(host);
      return new Promise((resolve) => ends.push(() => resolve(address)));
    },
    { binding: 8, account: 3, all: 3 },
  );
  const all = [1, 2, 3, 4, 5, 6].map((i) => lookups.of("greedy", "one")(`greedy${i}`));
  all.push(lookups.of("other", "one")("other1"));
  ends[0]!();
  await all[0];
  assert.deepEqual(asked.slice(3), ["other1"]);
  for (let i = 1; i < 7; i += 1) {
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
    { binding: 1, account: 1, all: 1 },
  );
  for (let i = 0; i < 3; i += 1) await assert.rejects(lookups.of("a", "b")("x"), /at once/);
  assert.deepEqual(await lookups.of("a", "b")("x"), address);
});
