import assert from "node:assert/strict";
import { test } from "node:test";

interface Router {
  queue(batch: object, env: object): Promise<void>;
}

const path = "../../../assets/storage/routers/to-consumer.js";
const { default: router } = (await import(path)) as { readonly default: Router };
const DONE = { outcome: "ok", ackAll: true, retryBatch: {}, explicitAcks: [], retryMessages: [] };

async function turns(): Promise<void> {
  for (let n = 0; n < 20; n += 1) await new Promise(setImmediate);
}

test("a consumer that does not end has 15 minutes for a batch, which is tried again, and then others get theirs", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const told: string[] = [];
  const ends: (() => void)[] = [];
  const env = {
    AT_ONCE: 1,
    EVENTS: {
      ping: () => Promise.resolve("pong"),
      deliver: async (name: string) => {
        told.push(`${name} begins`);
        if (name === "hangs") await new Promise(() => {});
        if (name === "slow") await new Promise<void>((fulfil) => ends.push(fulfil));
        return DONE;
      },
    },
  };
  const given = (queue: string): Promise<void> =>
    router.queue(
      {
        queue,
        messages: [],
        ackAll: () => told.push(`${queue} ended`),
        retryAll: () => told.push(`${queue} is tried again`),
      },
      env,
    );
  const hangs = given("hangs");
  await turns();
  const slow = given("slow");
  const last = given("last");
  await turns();
  assert.deepEqual(told, ["hangs begins"]);
  t.mock.timers.tick(15 * 60_000 - 1);
  await turns();
  assert.deepEqual(told, ["hangs begins"]);
  t.mock.timers.tick(1);
  await hangs;
  await turns();
  assert.deepEqual(told.splice(0), ["hangs begins", "hangs is tried again", "slow begins"]);
  ends[0]!();
  await Promise.all([slow, last]);
  assert.deepEqual(told, ["slow ended", "last begins", "last ended"]);
});

test("a call of which nothing is heard any more holds up no other for ever", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const names: string[] = [];
  const EVENTS = {
    ping: () => Promise.resolve("pong"),
    deliver: (name: string) => {
      names.push(name);
      return name === "cut off" ? new Promise(() => {}) : Promise.resolve(DONE);
    },
  };
  const batch = { messages: [], ackAll: () => {}, retryAll: () => {} };
  // As when the runtime ends a call: its timers do not come.
  const { setTimeout: kept } = globalThis;
  globalThis.setTimeout = (() => 0) as never;
  void router.queue({ ...batch, queue: "cut off" }, { AT_ONCE: 1, EVENTS });
  await turns();
  globalThis.setTimeout = kept;
  const next = router.queue({ ...batch, queue: "next" }, { AT_ONCE: 1, EVENTS });
  await turns();
  assert.deepEqual(names, ["cut off"]);
  t.mock.timers.tick(15 * 60_000);
  await next;
  assert.deepEqual(names, ["cut off", "next"]);
});
