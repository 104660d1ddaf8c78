import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { checkAudit } from "../src/store/access/audit-check.ts";
import type { Database } from "../src/store/database.ts";
import { insertVersion } from "../src/store/workers/versions.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

describe("rows that contradict the last word of the audit log", () => {
  let control: TestControl;
  let id: string;
  before(async () => {
    control = await startControl();
    const authority = await makeAuthority();
    const certificates = "/accounts/{account}/mtls_certificates";
    const upload = async (): Promise<object> => {
      const { chain, key } = await authority.issue({ subject: "CN=client" });
      return { certificates: chain, private_key: key, ca: false };
    };
    id = (await control.call("POST", certificates, await upload())).result.id;
    const one = `/accounts/{account}/countersign/certificates/${id}`;
    const answers = [
      await control.call("POST", `${one}/versions`, await upload()),
      await control.call("POST", `${one}/revoke`, { version: 1 }),
      await control.call("PATCH", one, { allowed_hosts: ["api.example.com"] }),
      await control.call("PUT", "/accounts/{account}/workers/scripts/w", scriptForm({})),
      await control.call("PUT", "/accounts/{account}/workers/scripts/w", scriptForm({})),
    ];
    for (const answer of answers) assert.equal(answer.success, true, JSON.stringify(answer.errors));
  });
  after(() => control[Symbol.asyncDispose]());

  const broken = async (): Promise<string | null> =>
    (await checkAudit(control.store.db, control.keyring)).broken;

  it("are found: a revocation, allowed hosts, the active version, what is deployed, a mode", async () => {
    assert.equal(await broken(), null);
    const change = (work: (db: Database) => Promise<unknown>) =>
      control.store.write(async ({ db }) => ({ value: await work(db), audit: null }));
    const shares = await control.store.db.selectFrom("deploymentVersions").selectAll().execute();
    const deployed = (from: number, to: number) => (db: Database) =>
      db
        .updateTable("deploymentVersions")
        .set({ versionId: shares[to]!.versionId })
        .where("deploymentId", "=", shares[from]!.deploymentId)
        .execute();
    const { id: scriptId } = await control.store.db
      .selectFrom("scripts")
      .select("id")
      .executeTakeFirstOrThrow();
    const newest = shares.findIndex(
      ({ deploymentId }) => deploymentId === shares.at(-1)!.deploymentId,
    );
    for (const [tamper, undo, said] of [
      [revokedOn(id, null), revokedOn(id, "2026-01-01T00:00:00.000Z"), /version 1 .* was revoked/],
      [
        certificate(id, { allowedHosts: null }),
        certificate(id, { allowedHosts: '["api.example.com"]' }),
        /the allowed hosts of certificate/,
      ],
      [
        certificate(id, { activeVersion: 1 }),
        certificate(id, { activeVersion: 2 }),
        /presents version 1/,
      ],
      [deployed(newest, 0), null, /runs other versions/],
      [
        (db: Database) =>
          db
            .insertInto("bindingModes")
            .values({ scriptId, name: "C", mode: "in-process" })
            .execute(),
        null,
        /runs other versions|is in-process/,
      ],
    ] as const) {
      await change(tamper);
      assert.match((await broken()) ?? "whole", said);
      if (undo === null) continue;
      await change(undo);
      assert.equal(await broken(), null);
    }
  });
});

it("a revoked token that a row brings back is found", async () => {
  await using control = await startControl();
  const made = await control.call("POST", "/user/tokens", {
    name: "ended",
    policies: [
      {
        effect: "allow",
        resources: { [`com.cloudflare.api.account.${control.accountId}`]: "*" },
        permission_groups: [{ id: await someGroup(control) }],
      },
    ],
  });
  assert.equal(made.success, true, JSON.stringify(made.errors));
  const gone = await control.call("DELETE", `/user/tokens/${made.result.id}`);
  assert.equal(gone.success, true, JSON.stringify(gone.errors));
  const { db } = control.store;
  assert.equal((await checkAudit(db, control.keyring)).broken, null);
  await control.store.housekeep((write) =>
    write.db
      .updateTable("tokens")
      .set({ revokedOn: null })
      .where("id", "=", made.result.id)
      .execute(),
  );
  assert.match((await checkAudit(db, control.keyring)).broken ?? "", /token .* was revoked/);
});

it("a version that an earlier Countersign logged is whole, and found once its row was changed", async () => {
  await using control = await startControl();
  const put = await control.call("PUT", "/accounts/{account}/workers/scripts/w", scriptForm({}));
  assert.equal(put.success, true, JSON.stringify(put.errors));
  const { db } = control.store;
  const { id: scriptId } = await db.selectFrom("scripts").select("id").executeTakeFirstOrThrow();
  // Number 2, computed by the code of 2026-11-25.
  const digest = "86ffd554fc702ce6e6eb3d478af190aa213dd8e2e541ec8d8373cf3251baab2b";
  const version = {
    id: randomUUID(),
    scriptId,
    mainModule: "index.js",
    compatibilityDate: "2026-11-01",
    compatibilityFlags: ["nodejs_compat"],
    settings: { limits: { cpu_ms: 50 } },
    annotations: {},
    author: "a@example.com",
    source: "api",
    startupTimeMs: 1,
    createdOn: "2026-11-25T00:00:00.000Z",
    bindings: [{ type: "plain_text", name: "A", text: "b" }] as const,
    modules: [
      { name: "index.js", type: "esm", content: Buffer.from("export default {}") },
    ] as const,
  };
  await control.store.write(async (write) => ({
    value: await insertVersion(write.db, version),
    audit: {
      by: { kind: "system", id: null, email: "a@example.com", address: null },
      action: "version.create",
      accountId: control.accountId,
      resource: { type: "script", id: scriptId },
      after: { version: version.id, digest },
    },
  }));
  assert.equal((await checkAudit(db, control.keyring)).broken, null);
  await control.store.housekeep((write) =>
    write.db
      .updateTable("scriptVersions")
      .set({ compatibilityFlags: [] })
      .where("id", "=", version.id)
      .execute(),
  );
  assert.match((await checkAudit(db, control.keyring)).broken ?? "", /does not consist of what/);
});

async function someGroup(control: TestControl): Promise<string> {
  const { result } = await control.call("GET", "/user/tokens/permission_groups");
  return result[0].id;
}

type Tamper = (db: Database) => Promise<unknown>;

function certificate(id: string, set: object): Tamper {
  return (db) => db.updateTable("certificates").set(set).where("id", "=", id).execute();
}

function revokedOn(id: string, value: string | null): Tamper {
  return (db) =>
    db
      .updateTable("certificateVersions")
      .set({ revokedOn: value })
      .where("certificateId", "=", id)
      .where("version", "=", 1)
      .execute();
}
