import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import type { Journal } from "../../contract/journal.ts";
import type { LogEntry } from "../../contract/worker-log.ts";
import { Tails } from "./tails.ts";

const key = { accountId: "a", scriptName: "shop" };

type Heard = (entry: LogEntry) => void;
const BLANK = { scriptName: "shop", outcome: "ok", logs: [], exceptions: [] };

function made(): { tails: Tails; followed: boolean[]; say: (entry: Partial<LogEntry>) => void } {
  const followed: boolean[] = [];
  const listeners: Heard[] = [];
  const journal = {
    keepAll: () => {},
    listen: (_: unknown, listener: Heard) => {
      listeners.push(listener);
      return () => {};
    },
  };
  const tails = new Tails({
    edge: {
      follow: (_, isFollowed) => {
        followed.push(isFollowed);
        return Promise.resolve();
      },
    },
    journal: journal as unknown as Journal,
    clock: () => new Date(),
    url: () => "ws://x",
    log: pino({ level: "silent" }),
  });
  const say = (entry: Partial<LogEntry>): void =>
    listeners.at(-1)?.({ ...BLANK, ...entry } as LogEntry);
  return { tails, followed, say };
}

test("a reader that is too slow loses entries, and learns how many", async () => {
  const { tails, say } = made();
  const { id, url } = await tails.create(key, { filters: [{ outcome: "ok" }], address: null });
  const secret = new URL(url).searchParams.get("key")!;
  const sent: string[] = [];
  let isSlow = false;
  const sink = {
    send: (text: string) => !isSlow && sent.push(text) > 0,
    close: () => {},
  };
  assert.equal(tails.connect(id, "00".repeat(32), sink), null);
  const reader = tails.connect(id, secret, sink);
  assert.ok(reader);
  assert.equal(tails.connect(id, secret, sink), null, "one tail has one reader");
  say({});
  say({ outcome: "exception" });
  isSlow = true;
  say({});
  say({});
  isSlow = false;
  say({});
  assert.equal(sent.length, 3);
  assert.match(sent[2]!, /"type":"overload","message":"2 entries were left out/);
  reader.closed();
  assert.equal(tails.list(key).length, 0);
  tails[Symbol.dispose]();
});

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
