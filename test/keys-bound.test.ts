import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, test } from "node:test";
import { pino } from "pino";
import { formerSecretPlace, secretPlace } from "../src/keys/places.ts";
import type { Keyring } from "../src/keys/seal.ts";
import { SecretTexts } from "../src/keys/secret-texts.ts";
import { sealSecret } from "../src/control/workers/carried-bindings.ts";
import { MasterKeys } from "../src/platform/master-key-change.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { checkAudit } from "../src/store/access/audit-check.ts";
import { insertScript } from "../src/store/workers/scripts.ts";
import { openStore, type Store } from "../src/store/store.ts";
import { insertVersion } from "../src/store/workers/versions.ts";
import { bindingsOf } from "../src/store/workers/version-content.ts";
import { countersign } from "./helpers/cli.ts";
import { startPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

const VAULT = "/accounts/{account}/workers/scripts/vault";
const SHOWS = `export default { fetch: (request, env) => new Response(env.PUBLIC + " " + env.PASSWORD) }`;

test("secrets that were exchanged in the database start no Worker, and doctor and the log name them", async () => {
  const dataFolder = mkdtempSync(join(tmpdir(), "countersign-exchange-"));
  try {
    const { token } = await deployAndExchange(dataFolder);
    await using platform = await startPlatform({ dataFolder, token });
    await until(() => platform.log().includes('"sealed_record_damaged"'));
    const taken = await platform.api("PUT", `${VAULT}/content`, scriptForm());
    assert.match(taken.json.errors[0]?.message ?? "", /the secret of "vault\/.* does not open/);
    const verify = await countersign(["audit", "verify", "--data", dataFolder]);
    assert.equal(verify.status, 1);
    assert.match(verify.stderr, /of the Worker "vault" does not consist of what was uploaded/);
    await platform.end("SIGTERM");
    const doctor = await countersign(["doctor", "--data", dataFolder]);
    assert.match(doctor.stdout, /2 of \d+ do not open: secret vault\/[-\w]+\/P/);
  } finally {
    rmSync(dataFolder, { recursive: true, force: true });
  }
});

async function deployAndExchange(dataFolder: string): Promise<{ token: string }> {
  await using platform = await startPlatform({ dataFolder });
  const bindings = [
    { name: "PUBLIC", type: "secret_text", text: "an id" },
    { name: "PASSWORD", type: "secret_text", text: "hunter2" },
  ];
  const form = scriptForm({ bindings }, { "index.js": ["application/javascript+module", SHOWS] });
  const { json } = await platform.api("PUT", VAULT, form);
  assert.deepEqual(json.errors, []);
  assert.equal((await platform.worker("vault")).body, "an id hunter2");
  await platform.end("SIGTERM");
  using database = new DatabaseSync(join(dataFolder, "countersign.db"));
  database.exec(`CREATE TEMP TABLE before AS SELECT name, json_extract(body, '$.sealed') AS sealed FROM version_bindings;
    UPDATE version_bindings SET body = json_set(body, '$.sealed',
      (SELECT sealed FROM before WHERE before.name <> version_bindings.name))`);
  return { token: platform.ready.token };
}

/** Version `two` took KEY over from version `one` as sealed there; `moved` belongs to another Worker. */
async function former(
  folder: string,
): Promise<{ store: Store; account: string; keys: MasterKeys }> {
  const store = await openStore(join(folder, "countersign.db"));
  const keys = await open(folder, store);
  const { value } = await store.write(async ({ db }) => {
    const now = new Date();
    const account = await createAccount(db, { name: "Old", subdomain: "old", now });
    return {
      value: account.id,
      audit: {
        by: { kind: "system", id: null, email: "admin@localhost", address: null },
        action: "account.create",
        accountId: account.id,
        resource: { type: "account", id: account.id },
      },
    };
  });
  await store.housekeep(async ({ db }) => {
    const at = new Date().toISOString();
    const dates = { createdOn: at, modifiedOn: at };
    const script = {
      id: "s",
      accountId: value,
      name: "worker",
      workersDev: 0,
      previews: 0,
      settings: {},
    };
    await insertScript(db, { ...script, ...dates });
    await insertVersion(db, {
      id: "two",
      scriptId: "s",
      mainModule: "index.js",
      modules: [],
      compatibilityDate: "2026-11-01",
      compatibilityFlags: [],
      annotations: {},
      author: "",
      source: "",
      startupTimeMs: 0,
      settings: {},
      createdOn: at,
      bindings: [
        asBefore(keys.keyring, value, "KEY", "worker/one/KEY"),
        asBefore(keys.keyring, value, "MOVED", "other/one/KEY"),
      ],
    });
  });
  return { store, account: value, keys };
}

describe("secrets of a database from before they were bound to their version", () => {
  const owner = { scriptName: "worker", versionId: "two" };

  it("are sealed for it at the next start, once, and one that was moved stays shut", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-bound-"));
    const { store, account, keys } = await former(folder);
    await using _ = store;
    const opens = async (name: string): Promise<string> => {
      const found = (await bindingsOf(store.db, "two")).find((one) => one.name === name);
      assert.ok(found?.type === "secret_text");
      return keys.keyring.unseal(secretPlace({ accountId: account, ...owner, name }), found.sealed);
    };
    await assert.rejects(opens("KEY"));
    await open(folder, store);
    assert.equal(await opens("KEY"), "text of KEY");
    await assert.rejects(opens("MOVED"));
    assert.equal((await checkAudit(store.db, keys.keyring)).broken, null);

    // The next start does not seal a record again that already names its own place.
    const again = asBefore(keys.keyring, account, "KEY", "worker/one/KEY");
    await replace(store, again);
    await open(folder, store);
    await assert.rejects(opens("KEY"));
    assert.match((await checkAudit(store.db, keys.keyring)).broken ?? "", /does not consist of/);

    // Nor if the entry that records it is removed.
    await store.housekeep(({ db }) =>
      db.deleteFrom("auditEntries").where("action", "=", "key.secrets").execute(),
    );
    await open(folder, store);
    await assert.rejects(opens("KEY"));
    rmSync(folder, { recursive: true });
  });
});

function open(dataFolder: string, store: Store): Promise<MasterKeys> {
  const log = pino({ level: "silent" });
  return MasterKeys.open({ store, dataFolder, variables: {}, clock: () => new Date(), log });
}

function asBefore(keyring: Keyring, account: string, name: string, sealedId: string) {
  const text = `text of ${name}`;
  const owner = { accountId: account, scriptName: "worker", versionId: "two" };
  const binding = sealSecret(
    { keyring, texts: new SecretTexts() },
    { ...owner, tag: "", timestamp: "" },
    name,
    text,
  );
  return { ...binding, sealed: keyring.seal(formerSecretPlace(account, sealedId), text), sealedId };
}

async function replace(store: Store, binding: { readonly name: string }): Promise<void> {
  await store.housekeep(({ db }) =>
    db
      .updateTable("versionBindings")
      .set({ body: JSON.stringify(binding) })
      .where("name", "=", binding.name)
      .execute(),
  );
}
