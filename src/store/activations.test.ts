import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { engines, writable } from "../../test/helpers/database.ts";
import { listActivations } from "./certificates/certificate-activations.ts";
import { activations } from "./migrations/020-activations.ts";
import type { Database } from "./database.ts";

for (const [engine, open] of Object.entries(engines)) {
  describe(`the history of a database that had none, on ${engine}`, () => {
    test("is what its audit log tells of it, without what was abandoned", async () => {
      await using store = await open();
      const db = writable(store);
      await certificate(db, { id: "told", versions: 4, active: 4 });
      await certificate(db, { id: "silent", versions: 3, active: 3 });
      await audit(db, 1, "version", "told", [1, 2]);
      await audit(db, 2, "version", "told", [2, 2]);
      await audit(db, 3, "activate", "told", [2, 3]);
      await audit(db, 4, "rollback", "told", [3, 2]);
      await audit(db, 5, "version", "told", [2, 4]);
      await db.schema.dropTable("certificateActivations").execute();
      await activations(db);
      const history = async (id: string): Promise<number[]> =>
        (await listActivations(db, id)).map(({ version }) => version);
      assert.deepEqual(await history("told"), [4, 2, 1]);
      // Nothing says that version 2 was ever in force.
      assert.deepEqual(await history("silent"), [3, 1]);
    });
  });
}

async function certificate(
  db: Database,
  { id, versions, active }: { id: string; versions: number; active: number },
): Promise<void> {
  const now = "2026-01-01T00:00:00Z";
  await db
    .insertInto("accounts")
    .values({
      id: `account of ${id}`,
      name: id,
      subdomain: null,
      shortHosts: 0,
      createdOn: now,
      limits: {},
      identityEnvironments: 0,
    })
    .execute();
  await db
    .insertInto("certificates")
    .values({
      id,
      accountId: `account of ${id}`,
      name: id,
      ca: 0,
      activeVersion: active,
      allowedHosts: null,
      tied: 0,
      uploadedOn: now,
      updatedOn: now,
    })
    .execute();
  for (let version = 1; version <= versions; version++) {
    await db
      .insertInto("certificateVersions")
      .values({
        certificateId: id,
        version,
        accountId: `account of ${id}`,
        chain: "",
        sealedKey: null,
        subject: "",
        issuer: "",
        serialNumber: "",
        signature: "",
        notBefore: now,
        notAfter: now,
        fingerprint: "",
        contentHash: `${id} ${version}`,
        names: [],
        keyKind: "",
        publicKeyHash: "",
        uploadedOn: now,
        revokedOn: null,
      })
      .execute();
  }
}

async function audit(
  db: Database,
  sequence: number,
  did: string,
  id: string,
  [before, after]: [number, number],
): Promise<void> {
  const action = `certificate.${did}`;
  const body = JSON.stringify({
    action,
    resource: { id },
    before: { activeVersion: before },
    after: { activeVersion: after },
  });
  await db
    .insertInto("auditEntries")
    .values({
      sequence,
      id: String(sequence),
      accountId: null,
      at: "2026-01-01T00:00:00Z",
      action,
      email: "",
      body,
      hash: "",
    })
    .execute();
}
