import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { secretPlace } from "../src/keys/places.ts";
import { Keyring } from "../src/keys/seal.ts";
import type { CertificateVersion, WorkerVersion } from "../src/contract/change-feed.ts";
import { Failure, type FailureCode } from "../src/failures/failures.ts";
import { checkKey, readCredential } from "../src/certificates/credential.ts";
import { checkAudit } from "../src/store/access/audit-check.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { openStore } from "../src/store/store.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

/** Two certificates, one with two versions, and two Workers with a secret each. */
async function filled(): Promise<TestControl & { readonly ids: readonly [string, string] }> {
  const control = await startControl();
  const authority = await makeAuthority();
  const send = async (path: string): Promise<{ id: string }> => {
    const { chain, key } = await authority.issue({ subject: "CN=client" });
    const body = { certificates: chain, private_key: key, ca: false };
    const { result, errors } = await control.call("POST", path, body);
    assert.deepEqual(errors, []);
    return result;
  };
  const { id: one } = await send("/accounts/{account}/mtls_certificates");
  const { id: two } = await send("/accounts/{account}/mtls_certificates");
  await send(`/accounts/{account}/countersign/certificates/${one}/versions`);
  for (const name of ["alpha", "beta"]) {
    const bindings = [
      { name: "KEY", type: "secret_text", text: `secret of ${name}` },
      { name: "OTHER", type: "secret_text", text: `other of ${name}` },
    ];
    const form = scriptForm({ compatibility_date: "2026-11-01", bindings });
    const { errors } = await control.call(
      "PUT",
      `/accounts/{account}/workers/scripts/${name}`,
      form,
    );
    assert.deepEqual(errors, []);
  }
  return { ...control, ids: [one, two] };
}

/** Changes that somebody could make who can write the file, but has no master key. */
function edit({ databasePath }: TestControl, sql: string): void {
  using database = new DatabaseSync(databasePath, { timeout: 5000 });
  const { changes } = database.prepare(sql).run();
  assert.ok(Number(changes) > 0, "the edit changed something");
}

async function certificate(control: TestControl, id: string): Promise<CertificateVersion> {
  const found = await storeSource(control.store).certificate(control.accountId, id);
  assert.ok(found);
  return found;
}

/** Unseals as the gateway does before it presents a certificate. */
function open(found: CertificateVersion, keyring: Keyring): void {
  checkKey(readCredential(found), keyring);
}

async function worker(control: TestControl, scriptName: string): Promise<WorkerVersion> {
  const { accountId } = control;
  const deployment = await storeSource(control.store).deployment({ accountId, scriptName });
  assert.ok(deployment?.versions[0]);
  return deployment.versions[0].version;
}

/** Unseals as the edge does before it starts a Worker. */
function secretsOf({ keyring }: TestControl, version: WorkerVersion): string[] {
  return version.bindings.flatMap((one) =>
    one.type === "secret_text"
      ? keyring.unseal(secretPlace({ ...version, name: one.name }), one.sealed)
      : [],
  );
}

/** The binding `name` of version `number` of a Worker; versions count from 1. */
function binding(script: string, number: number, name: string): string {
  return `name = '${name}' AND version_id = (SELECT v.id FROM script_versions v
    JOIN scripts s ON s.id = v.script_id WHERE s.name = '${script}' AND v.number = ${number})`;
}

function bodyAt(where: string): string {
  return `(SELECT body FROM version_bindings WHERE ${where})`;
}

function failsWith(code: FailureCode): (error: unknown) => boolean {
  return (error) => error instanceof Failure && error.code === code;
}

function keyOf(id: string, version: number): string {
  return `(SELECT sealed_key FROM certificate_versions WHERE certificate_id = '${id}' AND version = ${version})`;
}

describe("an edit of the database file", () => {
  test("untouched, everything opens", async () => {
    await using control = await filled();
    for (const id of control.ids) {
      open(await certificate(control, id), control.keyring);
    }
    const secrets = secretsOf(control, await worker(control, "alpha"));
    assert.deepEqual(secrets, ["secret of alpha", "other of alpha"]);
  });

  const moves: Readonly<Record<string, (one: string, two: string) => string>> = {
    "a key moved to another certificate": (one, two) =>
      `UPDATE certificate_versions SET sealed_key = ${keyOf(two, 1)} WHERE certificate_id = '${one}'`,
    "a whole certificate moved to another's id": (one, two) =>
      `UPDATE certificate_versions SET (chain, sealed_key) =
        (SELECT chain, sealed_key FROM certificate_versions WHERE certificate_id = '${two}')
        WHERE certificate_id = '${one}' AND version = 2`,
    "an old version's key and chain under the new number": (one) =>
      `UPDATE certificate_versions SET (chain, sealed_key) =
        (SELECT chain, sealed_key FROM certificate_versions WHERE certificate_id = '${one}' AND version = 1)
        WHERE certificate_id = '${one}' AND version = 2`,
    "a wrapped data key exchanged, the body left": (one, two) =>
      `UPDATE certificate_versions SET sealed_key =
        substr(${keyOf(two, 1)}, 1, 93) || substr(sealed_key, 94)
        WHERE certificate_id = '${one}' AND version = 2`,
    "one character of a body": (one) =>
      `UPDATE certificate_versions SET sealed_key =
        substr(sealed_key, 1, 120) || CASE substr(sealed_key, 121, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(sealed_key, 122)
        WHERE certificate_id = '${one}' AND version = 2`,
    "the name of the master key": (one) =>
      `UPDATE certificate_versions SET sealed_key = replace(sealed_key, 'v1.', 'v2.')
        WHERE certificate_id = '${one}' AND version = 2`,
  };
  for (const [what, sql] of Object.entries(moves)) {
    test(`${what} does not open, the other certificate does`, async () => {
      await using control = await filled();
      const [one, two] = control.ids;
      edit(control, sql(one, two));
      const moved = await certificate(control, one);
      assert.throws(() => open(moved, control.keyring), failsWith("sealed_record_damaged"));
      open(await certificate(control, two), control.keyring);
    });
  }

  const exchanges: Readonly<Record<string, string>> = {
    "another secret's record under its name": `UPDATE version_bindings SET body = json_set(body, '$.sealed',
      json_extract(${bodyAt(binding("alpha", 2, "OTHER"))}, '$.sealed')) WHERE ${binding("alpha", 2, "KEY")}`,
    "another secret's whole row": `UPDATE version_bindings SET body = ${bodyAt(binding("alpha", 2, "OTHER"))}
      WHERE ${binding("alpha", 2, "KEY")}`,
    "its own value of an older version": `UPDATE version_bindings SET body = ${bodyAt(binding("alpha", 1, "KEY"))}
      WHERE ${binding("alpha", 2, "KEY")}`,
    "the secret of another Worker": `UPDATE version_bindings SET body = ${bodyAt(binding("beta", 1, "KEY"))}
      WHERE ${binding("alpha", 2, "KEY")}`,
    "a place that the row itself names": `UPDATE version_bindings SET body = json_set(${bodyAt(binding("alpha", 1, "KEY"))},
      '$.sealedId', 'alpha/' || version_id || '/KEY') WHERE ${binding("alpha", 2, "KEY")}`,
  };
  for (const [what, sql] of Object.entries(exchanges)) {
    test(`${what} does not open, and the audit log tells`, async () => {
      await using control = await filled();
      const secret = { name: "OTHER", type: "secret_text", text: "newer" };
      await control.call("PUT", "/accounts/{account}/workers/scripts/alpha/secrets", secret);
      const opened = secretsOf(control, await worker(control, "alpha"));
      assert.deepEqual(opened, ["secret of alpha", "newer"]);
      assert.equal((await checkAudit(control.store.db, control.keyring)).broken, null);
      edit(control, sql);
      const alpha = await worker(control, "alpha");
      assert.throws(() => secretsOf(control, alpha), failsWith("sealed_record_damaged"));
      const { broken } = await checkAudit(control.store.db, control.keyring);
      assert.match(broken ?? "", /version .* of the Worker "alpha" does not consist of/);
    });
  }

  test("secrets that are taken over open, whatever takes them", async () => {
    await using control = await filled();
    const scripts = "/accounts/{account}/workers/scripts/alpha";
    const upload = (bindings: readonly object[], keep: readonly string[] = []) =>
      control.call("PUT", scripts, scriptForm({ bindings, keep_bindings: keep }));
    const [one] = (await control.call("GET", `${scripts}/versions`)).result.items;
    for (const [change, texts] of [
      [() => upload([], ["secret_text"]), ["secret of alpha", "other of alpha"]],
      [() => upload([{ name: "RENAMED", type: "inherit", old_name: "OTHER" }]), ["other of alpha"]],
      [
        () =>
          control.call("POST", `${scripts}/deployments?force=true`, {
            strategy: "percentage",
            versions: [{ version_id: one.id, percentage: 100 }],
          }),
        ["secret of alpha", "other of alpha"],
      ],
    ] as const) {
      const { errors } = await change();
      assert.deepEqual(errors, []);
      assert.deepEqual(secretsOf(control, await worker(control, "alpha")), texts);
    }
    assert.equal((await checkAudit(control.store.db, control.keyring)).broken, null);
  });

  for (const [what, sql] of Object.entries({
    code: "UPDATE blobs SET content = CAST('export default {}' AS BLOB)",
    "a module of an older version": `UPDATE version_modules SET name = 'other.js'`,
    "a flag": `UPDATE script_versions SET compatibility_flags = '["nodejs_compat"]'`,
    "a variable": `UPDATE version_bindings SET type = 'plain_text',
      body = '{"name":"KEY","type":"plain_text","text":"x"}' WHERE name = 'KEY'`,
  })) {
    test(`${what} that was changed is found by the audit log`, async () => {
      await using control = await filled();
      edit(control, sql);
      const { broken } = await checkAudit(control.store.db, control.keyring);
      assert.match(broken ?? "", /does not consist of what was uploaded/);
    });
  }

  test("another account's key does not open", async () => {
    await using control = await filled();
    const [one] = control.ids;
    const found = await certificate(control, one);
    assert.throws(
      () => open({ ...found, accountId: "another" }, control.keyring),
      failsWith("sealed_record_damaged"),
    );
  });

  test("without the master key nothing opens, and the wrong one is told apart from damage", async () => {
    await using control = await filled();
    await using store = await openStore(control.databasePath);
    const found = await storeSource(store).certificate(control.accountId, control.ids[0]);
    assert.ok(found);
    const other = new Keyring(randomBytes(32));
    assert.throws(() => open(found, other), failsWith("master_key_wrong"));
  });
});
