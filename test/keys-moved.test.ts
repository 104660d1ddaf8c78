import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { describe, test } from "node:test";
import { Keyring } from "../src/keys/seal.ts";
import type { CertificateVersion, WorkerVersion } from "../src/contract/change-feed.ts";
import { Failure, type FailureCode } from "../src/failures/failures.ts";
import { checkKey, readCredential } from "../src/certificates/credential.ts";
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

/** What someone does who can write the file, but has no master key. */
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

/** As the gateway does before it presents a certificate. */
function open(found: CertificateVersion, keyring: Keyring): void {
  checkKey(readCredential(found), keyring);
}

async function worker(control: TestControl, scriptName: string): Promise<WorkerVersion> {
  const { accountId } = control;
  const deployment = await storeSource(control.store).deployment({ accountId, scriptName });
  assert.ok(deployment?.versions[0]);
  return deployment.versions[0].version;
}

function secretsOf({ keyring, accountId }: TestControl, { bindings }: WorkerVersion): string[] {
  return bindings.flatMap((binding) =>
    binding.type === "secret_text"
      ? keyring.unseal({ account: accountId, id: binding.sealedId, kind: "secret" }, binding.sealed)
      : [],
  );
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

  test("a secret moved to another binding or another Worker does not open there", async () => {
    await using control = await filled();
    edit(
      control,
      `UPDATE version_bindings SET body = json_set(body, '$.sealed',
         (SELECT json_extract(body, '$.sealed') FROM version_bindings
          WHERE name = 'OTHER' AND json_extract(body, '$.sealedId') LIKE 'alpha/%'))
       WHERE name = 'KEY' AND json_extract(body, '$.sealedId') LIKE 'alpha/%'`,
    );
    const alpha = await worker(control, "alpha");
    assert.throws(() => secretsOf(control, alpha), failsWith("sealed_record_damaged"));
    edit(
      control,
      `UPDATE version_bindings SET body =
         (SELECT body FROM version_bindings
          WHERE name = 'OTHER' AND json_extract(body, '$.sealedId') LIKE 'alpha/%')
       WHERE name = 'KEY' AND json_extract(body, '$.sealedId') LIKE 'beta/%'`,
    );
    await assert.rejects(worker(control, "beta"), failsWith("sealed_record_damaged"));
  });

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
