import assert from "node:assert/strict";
import { test } from "node:test";
import { Lookups } from "./lookups.ts";
import type { Resolve } from "./resolve.ts";

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
  const lookups = new Lookups(resolve);
  for (const binding of ["one", "two", "three", "four", "five", "six"]) {
    for (let i = 0; i < 64; i += 1) void lookups.of("greedy", binding)(`slow${i}`);
  }
  assert.equal(asked.length, 8);
  assert.deepEqual(await lookups.of("other", "one")("quick"), address);
});

test("slow names of one binding leave another of its account alone, and it has a bounded queue", async () => {
  const { resolve, asked } = world();
  const lookups = new Lookups(resolve);
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
  const found = await Promise.all(["a", "b", "c"].map(lookups.of("a", "b")));
  assert.deepEqual(found, [address, address, address]);
  assert.deepEqual(asked, ["a", "b", "c"]);
});
