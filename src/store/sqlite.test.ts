import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { Failure } from "../failures/failures.ts";
import { bootstrap } from "./bootstrap.ts";
import { listAccounts } from "./access/accounts.ts";
import { sqliteDialect } from "./sqlite.ts";
import { openStore, openStoreOn } from "./store.ts";
import { Keyring } from "../keys/seal.ts";
import { Kysely, sql } from "kysely";
import { Migrator } from "kysely/migration";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "countersign-sqlite-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const now = new Date("2026-11-25T12:00:00Z");

test("what was committed is soon in the file itself, so that a lost -wal does not lose it", async () => {
  const path = join(folder, "one.db");
  await using store = await openStoreOn(sqliteDialect(path, { checkpointAfter: 10 }));
  store.sealWith(new Keyring(Buffer.alloc(32, 1)));
  await bootstrap(store, { scopes: [], now });
  for (let tries = 0; tries < 200; tries += 1) {
    await wait(25);
    const copy = join(folder, `copy-${tries}.db`);
    copyFileSync(path, copy);
    await using copied = await openStore(copy);
    if ((await listAccounts(copied.db)).length === 1) return;
  }
  assert.fail("the account is in -wal only");
});

test("a full disk is said as such, and a write after it is made", async () => {
  await using store = await openStoreOn(sqliteDialect(join(folder, "two.db")));
  store.sealWith(new Keyring(Buffer.alloc(32, 1)));
  await bootstrap(store, { scopes: [], now });
  const fill = (bytes: number) =>
    store.housekeep(({ db }) =>
      sql`insert into kysely_migration (name, timestamp) values (${`${bytes}`}, ${"x".repeat(bytes)})`.execute(
        db,
      ),
    );
  await store.housekeep(({ db }) => sql`pragma max_page_count = 1`.execute(db));
  await assert.rejects(
    fill(400_000),
    (error) => error instanceof Failure && error.code === "disk_full" && error.entry.status === 507,
  );
  await store.housekeep(({ db }) => sql`pragma max_page_count = 100000`.execute(db));
  await fill(400_001);
});

test("a statement that is kept sees a table that has changed", async (t) => {
  const db = new Kysely<{ one: { a: string; b?: string } }>({ dialect: sqliteDialect(":memory:") });
  t.after(() => db.destroy());
  await sql`create table one (a text)`.execute(db);
  await db.insertInto("one").values({ a: "1" }).execute();
  const all = (): Promise<unknown> => db.selectFrom("one").selectAll().execute();
  assert.equal(JSON.stringify(await all()), JSON.stringify([{ a: "1" }]));
  await sql`alter table one add column b text`.execute(db);
  await db.updateTable("one").set({ b: "2" }).execute();
  assert.equal(JSON.stringify(await all()), JSON.stringify([{ a: "1", b: "2" }]));
});

test("a migration that fails leaves the database as it was, with those before it undone too", async (t) => {
  const db = new Kysely<Record<string, object>>({
    dialect: sqliteDialect(join(folder, "three.db")),
  });
  t.after(() => db.destroy());
  const tables = async (): Promise<readonly string[]> =>
    (
      await sql<{ name: string }>`select name from sqlite_master where name in ('a', 'b')`.execute(
        db,
      )
    ).rows.map(({ name }) => name);
  const make = (name: string) => (on: typeof db) =>
    sql`create table ${sql.table(name)} (x)`.execute(on);
  const first = { up: async (on: typeof db) => void (await make("a")(on)) };
  const failing = {
    up: async (on: typeof db) => {
      await make("b")(on);
      throw new Error("no");
    },
  };
  const migrate = async (migrations: Record<string, typeof first>): Promise<unknown> =>
    (
      await new Migrator({
        db,
        provider: { getMigrations: async () => migrations },
      }).migrateToLatest()
    ).error;
  assert.ok((await migrate({ "1": first, "2": failing })) instanceof Error);
  assert.deepEqual(await tables(), []);
  assert.equal(await migrate({ "1": first }), undefined);
  assert.deepEqual(await tables(), ["a"]);
});
