import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, describe, it, test } from "node:test";
import { CompiledQuery } from "kysely";
import { engines, testKeyring } from "../../test/helpers/database.ts";
import { Failure } from "../failures/failures.ts";
import { checkAudit } from "./access/audit-check.ts";
import { bootstrap } from "./bootstrap.ts";
import { changesAfter, newestCursor } from "./changes.ts";
import { openStore, type Store, type Write } from "./store.ts";

const folder = mkdtempSync(join(tmpdir(), "countersign-together-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const now = new Date("2026-11-25T12:00:00Z");

const by = { kind: "admin", id: null, email: "admin@localhost", address: null } as const;

/** Makes a person, as one of many at once. */
function add(
  store: Store,
  email: string,
  more: (write: Write) => Promise<void> = async () => {},
): Promise<number> {
  const work = async (write: Write) => {
    const at = now.toISOString();
    const row = { id: email, email, passwordHash: "", createdOn: at, updatedOn: at };
    await write.db.insertInto("users").values(row).execute();
    await write.changed({ kind: "script", accountId: "a", scriptName: email });
    await more(write);
    const resource = { type: "user", id: email };
    const audit = { by, action: "user.create", accountId: null, resource } as const;
    return { value: null, audit };
  };
  return store.write(work, { together: true }).then(({ cursor }) => cursor);
}

async function emails({ db }: Store): Promise<string[]> {
  const rows = await db.selectFrom("users").select("email").orderBy("email").execute();
  return rows.map(({ email }) => email);
}

for (const [engine, open] of Object.entries(engines)) {
  describe(`writes that are committed together, on ${engine}`, () => {
    it("are each done whole or not at all, in order, and the audit log is exact", async () => {
      await using store = await open();
      await bootstrap(store, { scopes: [], now });
      const before = await newestCursor(store.db);
      const names = Array.from({ length: 40 }, (_, n) => `${n}`.padStart(2, "0"));
      const done = await Promise.allSettled(
        names.map((name) =>
          add(store, name, async ({ db }) => {
            // Of the database itself, and of ours.
            if (name === "10") await add10Again(db);
            if (fails(name)) throw new Failure("certificate_name_taken");
          }),
        ),
      );
      const good = names.filter((name) => !fails(name));
      assert.deepEqual(
        names.filter((_, index) => done[index]!.status === "fulfilled"),
        good,
      );
      assert.deepEqual(await emails(store), good);
      const changes = await changesAfter(store.db, before, 100);
      assert.deepEqual(
        changes.map((change) => change.kind === "script" && [change.scriptName, change.cursor]),
        good.map((name, index) => [name, before + 1 + index]),
      );
      const cursors = done.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
      assert.deepEqual(
        cursors,
        good.map((_, index) => before + 1 + index),
      );
      const check = await checkAudit(store.db, testKeyring);
      assert.deepEqual([check.broken, check.entries], [null, good.length + 1]);
    });

    it("see what those before them in the same transaction have changed", async () => {
      await using store = await open();
      await bootstrap(store, { scopes: [], now });
      const done = await Promise.allSettled(["one", "one", "two"].map((name) => add(store, name)));
      assert.deepEqual(
        done.map(({ status }) => status),
        ["fulfilled", "rejected", "fulfilled"],
      );
    });
  });
}

function fails(name: string): boolean {
  return Number(name) % 7 === 3;
}

async function add10Again(db: Write["db"]): Promise<never> {
  await db
    .updateTable("users")
    .set({ id: null as never })
    .execute();
  throw new Error("the database takes a person without an id");
}

test("what a write was told to be done is on the disk: another connection reads it at once", async () => {
  const path = join(folder, "seen.db");
  await using store = await openStore(path);
  store.sealWith(testKeyring);
  await bootstrap(store, { scopes: [], now });
  using other = new DatabaseSync(path, { readOnly: true });
  const one = other.prepare("select count(*) as count from users where email = ?");
  await Promise.all(
    Array.from({ length: 40 }, async (_, n) => {
      await add(store, `${n}`);
      assert.deepEqual({ ...one.get(`${n}`) }, { count: 1 });
    }),
  );
});

test("a write for which there is no room is told so, and those beside it are done", async () => {
  await using store = await openStore(join(folder, "full.db"));
  store.sealWith(testKeyring);
  await bootstrap(store, { scopes: [], now });
  await pragma(store, "max_page_count = 1");
  const large = "x".repeat(400_000);
  const [one, much, two] = await Promise.allSettled([
    add(store, "one"),
    add(store, large),
    add(store, "two"),
  ]);
  await pragma(store, "max_page_count = 100000");
  assert.deepEqual([one.status, two.status], ["fulfilled", "fulfilled"]);
  assert.ok(much.status === "rejected" && isFailure(much.reason, "disk_full"));
  assert.deepEqual(await emails(store), ["one", "two"]);
});

test("if the database ends the transaction, all who were in it are told so, and the next are done", async () => {
  await using store = await openStore(join(folder, "ended.db"));
  store.sealWith(testKeyring);
  await bootstrap(store, { scopes: [], now });
  const [one, ended, two] = await Promise.allSettled([
    add(store, "one"),
    add(store, "ending", async ({ db }) => {
      // As SQLite does when the disk fails.
      await db.executeQuery(CompiledQuery.raw("rollback"));
      throw new Failure("disk_full");
    }),
    add(store, "two"),
  ]);
  for (const told of [one, ended]) {
    assert.ok(told.status === "rejected" && isFailure(told.reason, "disk_full"));
  }
  assert.equal(two.status, "fulfilled");
  assert.deepEqual(await emails(store), ["two"]);
  assert.equal((await checkAudit(store.db, testKeyring)).broken, null);
});

test("if no transaction can begin, all who wait are told so", async () => {
  const path = join(folder, "busy.db");
  await using store = await openStore(path);
  store.sealWith(testKeyring);
  await bootstrap(store, { scopes: [], now });
  await pragma(store, "busy_timeout = 0");
  using other = new DatabaseSync(path);
  other.exec("begin immediate");
  const done = await Promise.allSettled([add(store, "one"), add(store, "two")]);
  other.exec("rollback");
  assert.deepEqual(
    done.map((told) => told.status === "rejected" && /locked/.test(String(told.reason))),
    [true, true],
  );
  await add(store, "three");
  assert.deepEqual(await emails(store), ["three"]);
});

function pragma(store: Store, text: string): Promise<unknown> {
  return store.housekeep(({ db }) => db.executeQuery(CompiledQuery.raw(`pragma ${text}`)));
}

function isFailure(error: unknown, code: string): boolean {
  return error instanceof Failure && error.code === code;
}
