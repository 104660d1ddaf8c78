import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Keyring } from "../src/keys/seal.ts";
import { checkAudit } from "../src/store/access/audit-check.ts";
import { pruneAudit } from "../src/store/access/audit-prune.ts";
import type { Database } from "../src/store/database.ts";
import { bindSecrets } from "../src/store/workers/bound-secrets.ts";
import { sealedColumns } from "../src/store/sealed-records.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";

let control: TestControl;
let id = "";
before(async () => {
  control = await startControl();
  const authority = await makeAuthority();
  const upload = async (): Promise<object> => {
    const { chain, key } = await authority.issue({ subject: "CN=client" });
    return { certificates: chain, private_key: key, ca: false };
  };
  const certificates = "/accounts/{account}/mtls_certificates";
  id = (await control.call("POST", certificates, await upload())).result.id;
  const one = `/accounts/{account}/countersign/certificates/${id}`;
  for (const answer of [
    await control.call("POST", `${one}/versions`, await upload()),
    await control.call("POST", `${one}/revoke`, { version: 1 }),
  ]) {
    assert.equal(answer.success, true, JSON.stringify(answer.errors));
  }
});
after(() => control[Symbol.asyncDispose]());

const check = () => checkAudit(control.store.db, control.keyring);
const change = (work: (db: Database) => Promise<unknown>) =>
  control.store.write(async ({ db }) => ({ value: await work(db), audit: null }));
const revoked = (revokedOn: string | null) => (db: Database) =>
  db
    .updateTable("certificateVersions")
    .set({ revokedOn })
    .where("certificateId", "=", id)
    .where("version", "=", 1)
    .execute();
const noted = (sequence: number, hash: string) =>
  checkAudit(control.store.db, control.keyring, { sequence, hash });
const inAnHour = (): Date => new Date(Date.now() + 3_600_000);

test("old entries go, the rest verifies, and what they said last still counts", async () => {
  const whole = await check();
  assert.deepEqual([whole.broken, whole.removed], [null, 0]);
  assert.equal(await pruneAudit(control.store, control.keyring, new Date(0)), 0);
  const removed = await pruneAudit(control.store, control.keyring, inAnHour());
  assert.equal(removed, whole.entries);
  const left = await check();
  assert.deepEqual([left.broken, left.removed, left.entries], [null, removed, removed + 1]);
  const kept = await control.store.db.selectFrom("auditEntries").select("action").execute();
  assert.deepEqual(kept, [{ action: "audit.prune" }]);

  await change(revoked(null));
  assert.match((await check()).broken ?? "", /version 1 of certificate .* was revoked/);
  await change(revoked("2026-01-01T00:00:00.000Z"));
  assert.equal((await check()).broken, null);
  assert.equal(await bindSecrets(control.store, control.keyring), null, "they are bound already");
});

test("an end that was noted and then removed is reported as such, and an end in the rest still proves it", async () => {
  const { head } = await check();
  assert.equal((await noted(head.sequence, head.hash)).broken, null);
  assert.match((await noted(1, "0".repeat(64))).broken ?? "", /entry 1, .* removed by retention/);
});

test("a change of the master key takes the beginning along", async () => {
  const batches = await Promise.all(
    sealedColumns.map((column) => column.batch(control.store.db, "", 100)),
  );
  const places = batches.flatMap(({ records }) => records.map(({ place }) => place));
  const ends = places.filter(({ kind }) => kind === "audit-head").map((place) => place.id);
  assert.deepEqual(ends, ["head", "base"]);
});

test("a second run continues after the first, and a change of the beginning is found", async () => {
  await control.call("DELETE", `/accounts/{account}/mtls_certificates/${id}`);
  const whole = await check();
  assert.ok((await pruneAudit(control.store, control.keyring, inAnHour())) > 0);
  assert.equal((await check()).removed, whole.entries);
  const [base] = await control.store.db
    .selectFrom("auditHeads")
    .selectAll()
    .where("id", "=", "base")
    .execute();
  const set = (sealed: typeof base) => (db: Database) =>
    db.updateTable("auditHeads").set(sealed!).where("id", "=", "base").execute();
  const foreign = new Keyring(new Uint8Array(32).fill(9));
  const forged = foreign.seal({ account: "", id: "base", kind: "audit-head" } as never, "{}");
  await change(set({ ...base!, sealed: forged }));
  assert.match((await check()).broken ?? "", /not written with this master key/);
  await assert.rejects(pruneAudit(control.store, control.keyring, inAnHour()), {
    code: "audit_broken",
  });
  await change((db) => db.deleteFrom("auditHeads").where("id", "=", "base").execute());
  assert.match((await check()).broken ?? "", /entries 1 to \d+ are missing/);
  await change((db) => db.insertInto("auditHeads").values(base!).execute());
  assert.equal((await check()).broken, null);
});

test("a broken log is not pruned: nothing of it goes", async () => {
  const rows = () => control.store.db.selectFrom("auditEntries").select("body").execute();
  const whole = await rows();
  await change((db) => db.updateTable("auditEntries").set({ body: "{}" }).execute());
  await assert.rejects(pruneAudit(control.store, control.keyring, inAnHour()), {
    code: "audit_broken",
  });
  assert.equal((await rows()).length, whole.length);
});
