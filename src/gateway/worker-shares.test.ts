import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultOptions } from "../contract/gateway-options.ts";
import { WorkerShares } from "./worker-shares.ts";

/** How many of 10,000 it gets, and how to give them back. */
function taken(
  shares: WorkerShares,
  accountId: string,
  scriptName: string,
): { count: number; giveBack: () => void } {
  const all = Array.from({ length: 10_000 }, () => shares.connection({ accountId, scriptName }));
  const got = all.flatMap((one) => one ?? []);
  return { count: got.length, giveBack: () => got.forEach((give) => give()) };
}

test("a Worker has its share of connections over all its bindings, and gets it again once they have ended", () => {
  const shares = new WorkerShares(defaultOptions);
  const first = taken(shares, "a", "greedy");
  assert.equal(first.count, 2_048);
  assert.equal(taken(shares, "a", "greedy").count, 0);
  first.giveBack();
  assert.equal(taken(shares, "a", "greedy").count, 2_048);
});

test("greedy Workers leave some to the others of their account, and accounts to other accounts", () => {
  const shares = new WorkerShares(defaultOptions);
  const greedy = (account: string): number => {
    const workers = Array.from({ length: 20 }, (_, i) => taken(shares, account, `${i}`).count);
    return workers.reduce((sum, count) => sum + count);
  };
  assert.ok(greedy("a") <= 8_192);
  assert.ok(taken(shares, "a", "other").count > 0);
  for (let i = 0; i < 10; i += 1) greedy(`greedy ${i}`);
  assert.ok(taken(shares, "b", "other").count > 0);
});
