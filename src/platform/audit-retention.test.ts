import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { test, type TestContext } from "node:test";
import { pino } from "pino";
import { Keyring } from "../keys/seal.ts";
import { checkAudit } from "../store/access/audit-check.ts";
import { openStore } from "../store/store.ts";
import { retainAudit } from "./audit-retention.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

test("a clock that is far ahead removes nothing that is not old, at no start and in no round", async (t) => {
  const log = await auditLog(t);
  await log.write("old");
  await log.pass(29 * DAY);
  await log.write("young");
  assert.deepEqual(await log.kept(), ["old", "young"]);
  {
    using _ = await log.start();
    for (let round = 0; round < 2; round += 1) {
      log.clock.ahead = 20 * 365 * DAY;
      await log.pass(HOUR);
      log.clock.ahead = 0;
      await log.pass(HOUR);
    }
    assert.deepEqual(await log.kept(), ["old", "young"]);
  }
  log.clock.ahead = 20 * 365 * DAY;
  for (let start = 0; start < 3; start += 1) {
    using _ = await log.start();
    // It is an entry of its own that the clock that is ahead dates.
    await log.write(`ahead ${start}`);
    await log.pass(HOUR / 2);
  }
  assert.deepEqual(await log.kept(), ["old", "young", "ahead 0", "ahead 1", "ahead 2"]);
  log.clock.ahead = 0;
  assert.equal((await log.check()).broken, null);
});

test("old entries go an hour after a start, and each day, those of a clock that was ahead with the others", async (t) => {
  const log = await auditLog(t);
  await log.write("first");
  log.clock.ahead = 400 * DAY;
  await log.write("ahead");
  log.clock.ahead = 0;
  await log.pass(DAY);
  await log.write("second");
  await log.pass(40 * DAY);
  await log.write("third");
  using _ = await log.start();
  await log.pass(HOUR);
  assert.deepEqual(await log.kept(), ["third", "audit.prune"]);
  await log.pass(31 * DAY);
  assert.deepEqual(await log.kept(), ["audit.prune"]);
  assert.equal((await log.check()).broken, null);
});

test("a start removes what was old when the clock was last known to be right, and the rest an hour later", async (t) => {
  const log = await auditLog(t);
  await log.write("first");
  await log.pass(DAY);
  await log.write("second");
  {
    using _ = await log.start();
    await log.pass(10 * DAY);
  }
  await log.pass(DAY);
  {
    using _ = await log.start(10);
    assert.deepEqual(await log.kept(), ["second", "audit.prune"]);
    await log.pass(HOUR);
    assert.deepEqual(await log.kept(), ["audit.prune", "audit.prune"]);
  }
});

async function auditLog(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "countersign-retention-"));
  const store = await openStore(join(folder, "countersign.db"));
  const keyring = new Keyring(randomBytes(32));
  store.sealWith(keyring);
  t.after(async () => {
    await store[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  t.mock.timers.enable({ apis: ["setInterval", "Date"], now: Date.parse("2026-01-01") });
  /** ms by which the clock is wrong. */
  const clock = { ahead: 0 };
  const now = (): number => Date.now() + clock.ahead;
  const log = pino({ level: "silent" });
  return {
    clock,
    check: () => checkAudit(store.db, keyring),
    start: (days = 30) => retainAudit({ store, keyring, clock: () => new Date(now()), days, log }),
    write: async (id: string): Promise<void> => {
      const at = Date.now();
      t.mock.timers.setTime(now());
      await store.write(async () => ({
        value: null,
        audit: {
          by: { kind: "system", id: null, email: "admin@localhost", address: null },
          action: "token.create",
          accountId: null,
          resource: { type: "token", id },
        },
      }));
      t.mock.timers.setTime(at);
    },
    pass: async (ms: number): Promise<void> => {
      for (let gone = 0; gone < ms; gone += HOUR) {
        t.mock.timers.tick(Math.min(HOUR, ms - gone));
        await store.housekeep(async () => null);
        await store.housekeep(async () => null);
      }
    },
    /** What the entries are of; of retention's own, what they are. */
    kept: async (): Promise<string[]> => {
      const rows = await store.db
        .selectFrom("auditEntries")
        .selectAll()
        .orderBy("sequence")
        .execute();
      return rows.map(({ action, body }) => {
        const { resource } = JSON.parse(body) as { resource: { id: string } };
        return action === "token.create" ? resource.id : action;
      });
    },
  };
}
