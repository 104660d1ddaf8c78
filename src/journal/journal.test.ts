import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import type { LogEntry } from "../contract/worker-log.ts";
import { FileJournal } from "./journal.ts";

const key = { accountId: "a".repeat(32), scriptName: "shop" };
const DAY = 24 * 3_600_000;

async function journal(
  t: TestContext,
  limits = { bytes: 1_000_000, age: DAY },
): Promise<FileJournal> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-journal-"));
  const made = new FileJournal({ folder, limits, delay: 1, log: pino({ level: "silent" }) });
  folders.set(made, folder);
  t.after(async () => {
    await made[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  return made;
}
const folders = new WeakMap<FileJournal, string>();

const entry = (message: string, more: Partial<LogEntry> = {}): LogEntry => ({
  kind: "console",
  scriptName: "shop",
  scriptVersion: null,
  ray: null,
  outcome: "ok",
  eventTimestamp: Date.now(),
  event: null,
  logs: [{ level: "log", message: [message], timestamp: 0 }],
  exceptions: [],
  diagnosticsChannelEvents: [],
  truncated: false,
  wallTime: 0,
  cpuTime: 0,
  ...more,
});
const texts = (entries: readonly LogEntry[]): unknown[] =>
  entries.map(({ logs }) => logs[0]?.message[0]);

test("entries are read in their order: the newest, or those after the last one that was read", async (t) => {
  const log = await journal(t);
  for (const n of [1, 2, 3]) log.record({ ...key, entry: entry(`${n}`), isKept: true });
  log.record({ ...key, entry: entry("not kept"), isKept: false });
  log.record({ ...key, scriptName: "other", entry: entry("other"), isKept: true });
  const all = await log.read(key, { limit: 100 });
  assert.deepEqual(texts(all), ["1", "2", "3"]);
  assert.deepEqual(texts(await log.read(key, { limit: 2 })), ["2", "3"]);
  log.keepAll(key, 60_000);
  log.record({ ...key, entry: entry("4"), isKept: false });
  assert.deepEqual(texts(await log.read(key, { limit: 9, after: all.at(-1)!.id })), ["4"]);
  assert.deepEqual(texts(await log.read(key, { limit: 9, since: Date.now() + 1000 })), []);
});

test("who reads on misses nothing after a restart, though the clock was ahead before", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: Date.parse("2036-11-28T00:00:00Z") });
  const ahead = await journal(t);
  ahead.record({ ...key, entry: entry("ahead"), isKept: true });
  const [last] = await ahead.read(key, { limit: 1 });
  t.mock.timers.setTime(Date.parse("2026-11-28T00:00:00Z"));
  const folder = folders.get(ahead)!;
  const limits = { bytes: 1_000_000, age: DAY };
  await using later = new FileJournal({ folder, limits, delay: 1, log: pino({ level: "silent" }) });
  for (const text of ["first", "second"]) {
    later.record({ ...key, entry: entry(text), isKept: true });
  }
  assert.deepEqual(texts(await later.read(key, { limit: 9, after: last!.id })), [
    "first",
    "second",
  ]);
});

test("an entry is one, whichever characters its text has, and wherever the disk's pieces end", async (t) => {
  const log = await journal(t);
  const said = ["one\u2028two", "a\u2029b\r\nc", `${"€".repeat(150_000)}\u2028`, "last"];
  for (const text of said) log.record({ ...key, entry: entry(text), isKept: true });
  assert.deepEqual(texts(await log.read(key, { limit: 100 })), said);
});

test("a ray finds its entries, and the failure that its client was handed under another", async (t) => {
  const log = await journal(t);
  const [client, gateway] = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"];
  log.record({ ...key, entry: entry("failure", { ray: gateway }), isKept: true });
  log.record({ ...key, entry: entry("unlike", { ray: "cccccccccccccccc" }), isKept: true });
  log.record({
    ...key,
    entry: entry("handed", { ray: client, gatewayRay: gateway }),
    isKept: true,
  });
  log.record({ ...key, entry: entry("later", { ray: gateway }), isKept: true });
  log.record({ ...key, entry: entry("call", { ray: client }), isKept: true });
  const found = await log.read(key, { limit: 100, ray: client });
  assert.deepEqual(texts(found), ["failure", "handed", "later", "call"]);
  assert.deepEqual(texts(await log.read(key, { limit: 100, ray: gateway })), ["failure", "later"]);
});

test("a log that is full lets go of its oldest entries, and stays within its bytes", async (t) => {
  const log = await journal(t, { bytes: 64_000, age: DAY });
  for (let n = 0; n < 60; n += 1) {
    log.record({ ...key, entry: entry(`${n} ${"x".repeat(3_000)}`), isKept: true });
    if (n % 2 === 0) await log.read(key, { limit: 1 });
  }
  const all = texts(await log.read(key, { limit: 1000 })).map((text) => parseInt(String(text), 10));
  assert.equal(all.at(-1), 59);
  assert.ok(all.length > 10 && all.length < 22, `${all.length} are left`);
  const folder = join(folders.get(log)!, key.accountId, key.scriptName);
  let bytes = 0;
  for (const name of await readdir(folder)) {
    const { size, mode } = await stat(join(folder, name));
    bytes += size;
    assert.equal(mode & 0o077, 0);
  }
  assert.ok(bytes <= 64_000, `${bytes} bytes`);
});

test("what is too old goes, and so does a line that a crash has cut", async (t) => {
  const log = await journal(t, { bytes: 1_000_000, age: 50 });
  log.record({ ...key, entry: entry("old"), isKept: true });
  await log.read(key, { limit: 1 });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await log.prune();
  assert.deepEqual(await readdir(join(folders.get(log)!, key.accountId)), []);
  const young = await journal(t);
  young.record({ ...key, entry: entry("whole"), isKept: true });
  await young.read(key, { limit: 1 });
  const folder = join(folders.get(young)!, key.accountId, key.scriptName);
  const [name] = await readdir(folder);
  await writeFile(join(folder, name!), '{"id":"999999999999999999","kin', { flag: "a" });
  assert.deepEqual(texts(await young.read(key, { limit: 9 })), ["whole"]);
});

test("what is written after a line that was cut is whole", async (t) => {
  const log = await journal(t);
  const folder = join(folders.get(log)!, key.accountId, key.scriptName);
  await mkdir(folder, { recursive: true });
  const cut = `${JSON.stringify({ id: "1", ...entry("first") })}\n{"id":"2","logs":[`;
  await writeFile(join(folder, `${String(Date.now() - 1_000).padStart(15, "0")}.ndjson`), cut);
  log.record({ ...key, entry: entry("next"), isKept: true });
  assert.deepEqual(texts(await log.read(key, { limit: 9 })), ["first", "next"]);
});

test("a name that is no file's is kept nowhere", async (t) => {
  const log = await journal(t);
  const odd = { accountId: "..", scriptName: "../../etc" };
  log.record({ ...odd, entry: entry("x"), isKept: true });
  assert.deepEqual(await log.read(odd, { limit: 1 }), []);
});

test("who listens hears of every entry, kept or not, until it stops", async (t) => {
  const log = await journal(t);
  const heard: unknown[] = [];
  const stop = log.listen(key, (one) => heard.push(one.logs[0]?.message[0]));
  log.record({ ...key, entry: entry("1"), isKept: false });
  log.record({ ...key, entry: entry("2"), isKept: true });
  stop();
  log.record({ ...key, entry: entry("3"), isKept: true });
  assert.deepEqual(heard, ["1", "2"]);
});
