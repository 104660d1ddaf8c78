import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findOauthRecord, MOST_OAUTH, saveOauthRecord } from "./oauth.ts";
import { Keyring } from "../../keys/seal.ts";
import { sealedColumns } from "../sealed-records.ts";
import { openStore } from "../store.ts";

const keyring = new Keyring(randomBytes(32));
const soon = new Date(Date.now() + 600_000);
const later = new Date(Date.now() + 700_000);

const row = (i: number, owner: string | null) => ({
  model: "Session",
  idHash: `row ${i}`,
  payload: "{}",
  userId: owner,
  grantId: null,
  uid: null,
  consumedOn: null,
  expiresOn: soon.toISOString(),
  sealedProof: null,
});

for (const [whose, userId, most] of [
  ["sign-ins that nobody has finished", null, MOST_OAUTH.unfinished],
  ["what one person has", "person", MOST_OAUTH.person],
] as const) {
  test(`rows of ${whose} are ${most}: those that lapse first go, and nobody else's`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "countersign-oauth-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await using store = await openStore(join(folder, "db"));
    const rows = [
      ...Array.from({ length: most }, (_, i) => row(i, userId)),
      row(-1, userId === null ? "another" : null),
    ];
    const payload = userId === null ? {} : { accountId: userId };
    await store.write(async ({ db }) => {
      for (const id of ["person", "another"]) {
        const [createdOn, updatedOn] = [soon.toISOString(), soon.toISOString()];
        await db
          .insertInto("users")
          .values({ id, email: id, passwordHash: "", createdOn, updatedOn })
          .execute();
      }
      for (let at = 0; at < rows.length; at += 500) {
        await db
          .insertInto("oauthRecords")
          .values(rows.slice(at, at + 500))
          .execute();
      }
      for (const id of ["a", "b", "c"]) {
        // The one that came last lapses first, and stays all the same.
        const expiresOn = id === "c" ? new Date(soon.getTime() - 1) : later;
        await saveOauthRecord(
          db,
          keyring,
          { model: "Interaction", id, payload, expiresOn },
          new Date(),
        );
      }
      return { value: null, audit: null };
    });
    const left = await store.db.selectFrom("oauthRecords").select(["idHash", "userId"]).execute();
    assert.equal(left.filter((one) => one.userId === userId).length, most);
    assert.equal(left.length, most + 1);
    for (const id of ["a", "b", "c"]) {
      assert.ok(await findOauthRecord(store.db, keyring, "Interaction", { id }), id);
    }
  });
}

test("a login outlasts a change of the master key", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-oauth-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await using store = await openStore(join(folder, "db"));
  const [before, after] = [randomBytes(32), randomBytes(32)];
  const changing = new Keyring(before);
  const login = { model: "RefreshToken", id: "r", payload: { scope: "s" }, expiresOn: later };
  await store.housekeep(({ db }) => saveOauthRecord(db, changing, login, new Date()));
  changing.adopt(after);
  await store.housekeep(async ({ db }) => {
    for (const column of sealedColumns) {
      const { records } = await column.batch(db, "", 100);
      for (const record of records) {
        await record.replace(db, changing.rewrap(record.place, record.sealed));
      }
    }
  });
  const find = (key: Buffer) =>
    findOauthRecord(store.db, new Keyring(key), "RefreshToken", { id: "r" });
  assert.ok(await find(after));
  assert.equal(await find(before), undefined);
});
