import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs, {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, mock, test } from "node:test";
import { pino } from "pino";
import { Failure, type FailureCode } from "../src/failures/failures.ts";
import { backUp, restore, type Restored } from "../src/platform/backup/backup.ts";
import { openDataFolder, refuseHalfRestored } from "../src/platform/data-folder.ts";
import { MasterKeys } from "../src/platform/master-key-change.ts";
import { createAccount, listAccounts } from "../src/store/access/accounts.ts";
import { recordChange } from "../src/store/changes.ts";
import { identitiesCursor } from "../src/store/identities.ts";
import { openStore, type Store } from "../src/store/store.ts";

const now = new Date("2026-11-23T04:00:00Z");

function failsWith(code: FailureCode): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

async function accountsIn(folder: string): Promise<string[]> {
  await using restored = await openStore(join(folder, "countersign.db"));
  return (await listAccounts(restored.db)).map(({ name }) => name);
}

/** The cursor of the feed that origins follow, after one more change. */
async function cursorIn(folder: string): Promise<number> {
  await using restored = await openStore(join(folder, "countersign.db"));
  const [account] = await listAccounts(restored.db);
  await restored.housekeep(({ db }) =>
    recordChange(db, { kind: "identities", accountId: account!.id }),
  );
  return await identitiesCursor(restored.db, account!.id);
}

describe("backup and restore", () => {
  let parent: string;
  let data: string;
  let file: string;
  let store: Store;
  before(async () => {
    parent = mkdtempSync(join(tmpdir(), "countersign-backup-"));
    data = join(parent, "data");
    file = join(parent, "backup.db");
    openDataFolder(data)[Symbol.dispose]();
    store = await openStore(join(data, "countersign.db"));
    const log = pino({ level: "silent" });
    await MasterKeys.open({ store, dataFolder: data, variables: {}, clock: () => now, log });
    await addAccount("before");
  });
  after(async () => {
    await store[Symbol.asyncDispose]();
    rmSync(parent, { recursive: true });
  });

  const addAccount = async (name: string): Promise<void> => {
    await store.housekeep(({ db }) => createAccount(db, { name, subdomain: null, now }));
  };
  const into = (
    dataFolder: string,
    more: Partial<Parameters<typeof restore>[0]> = {},
  ): Promise<Restored> => restore({ dataFolder, file, force: false, variables: {}, now, ...more });
  const fresh = (): string => join(parent, randomBytes(6).toString("hex"));
  test("the file is one moment, whole, and only its owner's", async () => {
    const facts = backUp({ dataFolder: data, file, force: false });
    await addAccount("after");
    assert.equal(facts.accounts, 1);
    assert.match(facts.masterKeyId, /^[0-9a-f]{8}$/);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(
      readdirSync(parent).filter((name) => name.startsWith("backup")),
      ["backup.db"],
    );
    const target = fresh();
    const { kept, masterKeyPresent } = await into(target);
    assert.deepEqual([kept, masterKeyPresent], [null, false]);
    assert.deepEqual(await accountsIn(target), ["before"]);
    assert.equal(statSync(join(target, "countersign.db")).mode & 0o777, 0o600);
  });

  test("feeds after a restore are newer than all feeds before it", async () => {
    const first = fresh();
    await into(first);
    const told = await cursorIn(first);
    const again = await cursorIn(first);
    assert.ok(again > told);
    const later = new Date(now.getTime() + 5_000);
    await into(first, { force: true, now: later });
    assert.ok((await cursorIn(first)) > again, "the backup knows nothing of the last change");
  });

  test("while something is written all the time, each backup is consistent", async () => {
    const writing = new AbortController();
    const writer = (async () => {
      for (let number = 0; !writing.signal.aborted; number++) {
        await store.housekeep(async ({ db }) => {
          await createAccount(db, { name: `pair ${number}`, subdomain: null, now });
          await createAccount(db, { name: `pair ${number}`, subdomain: null, now });
        });
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    const copy = join(parent, "busy.db");
    for (let round = 0; round < 5; round++) {
      backUp({ dataFolder: data, file: copy, force: true });
      await new Promise((resolve) => setImmediate(resolve));
      using database = new DatabaseSync(copy, { readOnly: true });
      const odd = database
        .prepare(
          "SELECT name FROM accounts WHERE name LIKE 'pair %' GROUP BY name HAVING count(*) <> 2",
        )
        .all();
      assert.deepEqual(odd, []);
    }
    writing.abort();
    await writer;
  });

  test("what a killed restore has left does not keep the next one out", async () => {
    const target = fresh();
    await into(target);
    for (const name of readdirSync(target)) {
      if (name.startsWith("countersign.db") || name === "storage") {
        fs.renameSync(join(target, name), join(target, `${name}.part`));
      }
    }
    await into(target);
    assert.deepEqual(await accountsIn(target), ["before"]);
  });

  test("a file is not replaced, a folder not overwritten, unless forced", async () => {
    assert.throws(() => backUp({ dataFolder: data, file, force: false }), failsWith("file_exists"));
    const target = fresh();
    await into(target);
    writeFileSync(join(target, "countersign.db-marker"), "");
    await assert.rejects(into(target), failsWith("data_folder_not_empty"));
    {
      await using other = await openStore(join(target, "countersign.db"));
      await other.housekeep(({ db }) => createAccount(db, { name: "newer", subdomain: null, now }));
    }
    const { kept } = await into(target, { force: true });
    assert.deepEqual(await accountsIn(target), ["before"]);
    assert.ok(kept);
    await using replaced = await openStore(kept);
    assert.equal((await listAccounts(replaced.db)).length, 2, "what was there is kept");
  });

  test("a folder on which a platform runs is refused, and left alone", async () => {
    const target = fresh();
    await into(target);
    using _ = openDataFolder(target);
    const bytes = readFileSync(join(target, "countersign.db"));
    await assert.rejects(into(target, { force: true }), failsWith("data_folder_in_use"));
    assert.deepEqual(readFileSync(join(target, "countersign.db")), bytes);
  });

  test("a damaged database does not hold up the restore that replaces it, and is kept with its log", async () => {
    const target = fresh();
    await into(target);
    writeFileSync(join(target, "countersign.db"), "no database any more");
    writeFileSync(join(target, "countersign.db-wal"), "its log");
    const { kept } = await into(target, { force: true });
    assert.deepEqual(await accountsIn(target), ["before"]);
    assert.equal(readFileSync(kept!, "utf8"), "no database any more");
    assert.equal(readFileSync(`${kept}-wal`, "utf8"), "its log");
  });

  test("a restore that ends while it exchanges files is told at the next start, and can be run again", async () => {
    const values = join(data, "storage/account/data");
    mkdirSync(values, { recursive: true });
    writeFileSync(join(values, "value"), "restored");
    const whole = join(parent, "with-storage.db");
    backUp({ dataFolder: data, file: whole, force: true });
    const { renameSync } = fs;
    for (const renames of [0, 1, 2, 3]) {
      const target = fresh();
      await into(target, { file: whole });
      writeFileSync(join(target, "storage/account/data/value"), "replaced");
      let left = renames;
      mock.method(fs, "renameSync", (...paths: Parameters<typeof renameSync>) => {
        if (left-- === 0) throw new Error("the process ends here");
        renameSync(...paths);
      });
      syncBuiltinESMExports();
      try {
        await assert.rejects(into(target, { file: whole, force: true }), /ends here/);
      } finally {
        mock.restoreAll();
        syncBuiltinESMExports();
      }
      assert.throws(() => refuseHalfRestored(target), failsWith("restore_unfinished"));
      const backup = { dataFolder: target, file: join(parent, "half.db"), force: true };
      assert.throws(() => backUp(backup), failsWith("restore_unfinished"));
      const later = new Date(now.getTime() + 1000);
      await into(target, { file: whole, force: true, now: later });
      refuseHalfRestored(target);
      assert.equal(readFileSync(join(target, "storage/account/data/value"), "utf8"), "restored");
      assert.deepEqual(await accountsIn(target), await accountsIn(data));
      const names = readdirSync(target);
      const kept = names.filter((name) => name.startsWith("storage."));
      const contents = kept.map((name) =>
        readFileSync(join(target, name, "account/data/value"), "utf8"),
      );
      assert.ok(contents.includes("replaced"), `${renames}: ${contents.join()}`);
      assert.ok(!names.some((name) => name.endsWith(".part")), names.join());
    }
  });

  test("what a backup that was killed has left is gone after a later one", async () => {
    const [old, young] = [join(data, ".backup-old"), join(data, ".backup-young")];
    for (const folder of [old, young]) mkdirSync(folder);
    mkdirSync(join(data, "storage"), { recursive: true });
    utimesSync(old, 1, 1);
    const target = join(parent, "after-kill.db");
    writeFileSync(`${target}.part`, "half");
    writeFileSync(`${target}.part-journal`, "half");
    backUp({ dataFolder: data, file: target, force: false });
    const left = [old, `${target}.part`, `${target}.part-journal`].filter((path) =>
      existsSync(path),
    );
    assert.deepEqual(left, []);
    assert.ok(existsSync(young), "another backup may be running");
    rmSync(young, { recursive: true });
  });

  test("a wrong master key is said before anything is changed", async () => {
    const target = fresh();
    const variables = { key: randomBytes(32).toString("base64") };
    await assert.rejects(into(target, { variables }), failsWith("master_key_wrong"));
    assert.ok(!existsSync(join(target, "countersign.db")));
    const right = { file: join(data, "master.key") };
    assert.equal((await into(target, { variables: right, force: true })).masterKeyPresent, true);
  });

  test("what is no backup, or a damaged one, is refused", async () => {
    const other = join(parent, "other.db");
    const refuse = failsWith("backup_unusable");
    const missing = into(fresh(), { file: join(parent, "no-such") });
    await assert.rejects(missing, failsWith("file_missing"));
    writeFileSync(other, "something else");
    await assert.rejects(into(fresh(), { file: other }), refuse);
    new DatabaseSync(join(parent, "empty.db")).close();
    await assert.rejects(into(fresh(), { file: join(parent, "empty.db") }), refuse);
    writeFileSync(other, readFileSync(file));
    truncateSync(other, Math.floor(statSync(other).size / 2));
    const target = fresh();
    await assert.rejects(into(target, { file: other }), refuse);
    assert.ok(!existsSync(target));
    writeFileSync(other, readFileSync(file));
    {
      using database = new DatabaseSync(other);
      database.exec("UPDATE kysely_migration SET name = '999-newer' WHERE name = '001-begin'");
    }
    await assert.rejects(into(fresh(), { file: other }), refuse);
  });

  test("a folder without a platform has nothing to back up", () => {
    const options = { dataFolder: fresh(), file: join(parent, "none.db"), force: false };
    assert.throws(() => backUp(options), failsWith("data_folder_empty"));
    assert.ok(!existsSync(options.file));
  });
});
