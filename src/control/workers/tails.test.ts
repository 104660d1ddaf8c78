import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { Tails } from "./tails.ts";

function of(scriptName: string) {
  return { accountId: "a", scriptName };
}

test("ten people read the log of one Worker, and no eleventh; another Worker has its own ten", async () => {
  using tails = new Tails({
    edge: { follow: async () => {} },
    journal: { listen: () => () => {} } as never,
    clock: () => new Date(),
    url: () => "ws://127.0.0.1",
    log: pino({ level: "silent" }),
  });
  const request = { filters: [], address: null };
  for (let i = 0; i < 10; i += 1) await tails.create(of("one"), request);
  await assert.rejects(tails.create(of("one"), request), { code: "tail_limit" });
  await tails.create(of("other"), request);
});
