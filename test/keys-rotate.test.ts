import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { pino } from "pino";
import { Keyring, masterKeyIdOf } from "../src/keys/seal.ts";
import { SecretTexts } from "../src/keys/secret-texts.ts";
import { judgedHere } from "../src/certificates/upload-text.ts";
import { parseUpload } from "../src/certificates/parse.ts";
import { versionRow } from "../src/control/certificates/certificate-intake.ts";
import { sealSecret } from "../src/control/workers/carried-bindings.ts";
import { Failure, type FailureCode } from "../src/failures/failures.ts";
import { MasterKeys, type KeysOptions } from "../src/platform/master-key-change.ts";
import { bootstrap } from "../src/store/bootstrap.ts";
import { insertCertificateVersion } from "../src/store/certificates/certificate-versions.ts";
import { insertCertificate } from "../src/store/certificates/certificates.ts";
import { webhookPlace } from "../src/keys/places.ts";
import { sealedColumns, type SealedRecord } from "../src/store/sealed-records.ts";
import { openStore, type Store, type Write } from "../src/store/store.ts";
import { insertVersion } from "../src/store/workers/versions.ts";
import { insertScript } from "../src/store/workers/scripts.ts";
import { makeAuthority, type TestCertificate } from "./helpers/pki.ts";

const CERTIFICATES = 4;
const SECRETS = 3;
const log = pino({ level: "silent" });
const clock = (): Date => new Date();
const leaves = issueLeaves();

async function issueLeaves(): Promise<TestCertificate[]> {
  const authority = await makeAuthority();
  const numbers = Array.from({ length: 2 * CERTIFICATES }, (_, number) => number);
  return Promise.all(numbers.map((number) => authority.issue({ subject: `CN=${number}` })));
}

interface House extends AsyncDisposable {
  readonly folder: string;
  readonly store: Store;
  readonly accountId: string;
  open(more?: Partial<KeysOptions>): Promise<MasterKeys>;
}

/** A data folder with a store that holds every kind of sealed record. */
async function house(): Promise<House> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-keys-"));
  const store = await openStore(join(folder, "countersign.db"));
  const open = (more: Partial<KeysOptions> = {}): Promise<MasterKeys> =>
    MasterKeys.open({ store, dataFolder: folder, variables: {}, clock, log, batch: 1, ...more });
  const { keyring } = await open();
  const first = await bootstrap(store, { scopes: [], now: clock() });
  const accountId = first?.accountId ?? "";
  await store.housekeep((write) => fill(write, keyring, accountId));
  return {
    folder,
    store,
    accountId,
    open,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

async function fill({ db }: Write, keyring: Keyring, accountId: string): Promise<void> {
  const now = clock();
  const at = now.toISOString();
  for (let number = 0; number < CERTIFICATES; number++) {
    const id = `certificate-${number}`;
    for (const version of [1, 2]) {
      const leaf = (await leaves)[2 * number + version - 1]!;
      const upload = { certificates: leaf.chain, privateKey: leaf.key, ca: false, now };
      const owner = { accountId, certificateId: id, version };
      const row = await versionRow(keyring, owner, judgedHere(parseUpload(upload)), now);
      if (version > 1) await insertCertificateVersion(db, row);
      else {
        const times = { uploadedOn: at, updatedOn: at };
        const certificate = { id, accountId, name: null, ca: 0, allowedHosts: null, tied: 0 };
        await insertCertificate(db, { ...certificate, ...times, activeVersion: 1 }, row);
      }
    }
  }
  await insertScript(db, {
    id: "script",
    accountId,
    name: "worker",
    workersDev: 0,
    previews: 0,
    settings: {},
    createdOn: at,
    modifiedOn: at,
  });
  const owner = { accountId, scriptName: "worker", versionId: "version", tag: "", timestamp: at };
  await insertVersion(db, {
    id: "version",
    scriptId: "script",
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
    bindings: Array.from({ length: SECRETS }, (_, n) =>
      sealSecret({ keyring, texts: new SecretTexts() }, owner, `SECRET_${n}`, `secret ${n}`),
    ),
  });
  const sealedSecret = keyring.seal(webhookPlace(accountId), "webhook secret");
  const webhook = { accountId, url: "https://example.com/", sealedSecret, updatedOn: at };
  await db.insertInto("webhooks").values(webhook).execute();
}

async function records(store: Store): Promise<SealedRecord[]> {
  const batches = await Promise.all(
    sealedColumns.map((column) => column.batch(store.db, "", 1000)),
  );
  return batches.flatMap((batch) => batch.records);
}

/** Everything in all tables, as text. */
async function wholeDatabase({ db }: Store): Promise<string> {
  const tables = await db.introspection.getTables();
  const rows = await Promise.all(
    tables.map(({ name }) =>
      db
        .selectFrom(name as "accounts")
        .selectAll()
        .execute(),
    ),
  );
  return JSON.stringify(rows);
}

async function assertAllOpen(store: Store, keyring: Keyring): Promise<void> {
  const all = await records(store);
  assert.equal(all.length, CERTIFICATES * 2 + SECRETS + 2);
  for (const { place, sealed } of all) {
    const text = keyring.unseal(place, sealed);
    if (place.kind === "certificate-key") assert.match(text, /^-----BEGIN PRIVATE KEY/);
    else assert.match(text, place.kind === "audit-head" ? /"sequence":\d+/ : /secret/);
  }
}

function failsWith(code: FailureCode, message?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.code, code, error.message);
    if (message) assert.match(error.message, message);
    return true;
  };
}

describe("keys rotate", () => {
  test("every record is sealed with the new key, and the old one opens nothing", async () => {
    await using at = await house();
    const keys = await at.open();
    const before = { id: keys.keyring.masterKeyId, key: Buffer.from(keys.current) };
    const told: string[] = [];
    keys.inform(async (key) => void told.push(new Keyring(key).masterKeyId));
    const status = await keys.change();
    assert.equal(status.change?.before, before.id);
    await keys.settled();
    const { masterKeyId, change } = keys.status();
    assert.equal(change, null);
    assert.notEqual(masterKeyId, before.id);
    assert.deepEqual(told, [masterKeyId], "who unseals was told");
    const file = readFileSync(join(at.folder, "master.key"), "utf8");
    const fresh = new Keyring(Buffer.from(file.trim(), "base64"));
    assert.equal(fresh.masterKeyId, masterKeyId);
    await assertAllOpen(at.store, fresh);
    const text = await wholeDatabase(at.store);
    assert.ok(text.includes(`v1.${masterKeyId}.`));
    assert.ok(!text.includes(`v1.${before.id}.`), "nothing is left that the old key wraps");
    const variables = { key: before.key.toString("hex") };
    await assert.rejects(
      at.open({ variables }),
      failsWith("master_key_wrong", new RegExp(masterKeyId)),
    );
    assert.equal((await at.open()).keyring.masterKeyId, masterKeyId);
  });

  test("a crash at any record is gone on from at the next start, with nothing lost", async () => {
    const writes = 1 + (CERTIFICATES + 1) + 2 + 2 + 1 + 1;
    for (let survived = 0; survived <= writes; survived++) {
      await using at = await house();
      let count = 0;
      const mortal =
        <T>(work: (write: Write) => Promise<T>) =>
        async (write: Write): Promise<T> => {
          const value = await work(write);
          if (count++ >= survived) throw new Error("killed");
          return value;
        };
      const dying: Store = {
        ...at.store,
        write: (work) => at.store.write(mortal(work)),
        housekeep: (work) => at.store.housekeep(mortal(work)),
      };
      const keys = await at.open({ store: dying });
      const before = Buffer.from(keys.current).toString("hex");
      await keys.change().catch((error: Error) => assert.equal(error.message, "killed"));
      await keys.settled();
      if (survived > 0 && survived < writes - 1) {
        const old = at.open({ variables: { key: before } });
        await assert.rejects(old, failsWith("master_key_change_begun"), `after ${survived}`);
      }
      const again = await at.open();
      assert.equal(again.status().change, null);
      await assertAllOpen(at.store, again.keyring);
      assert.ok(!existsSync(join(at.folder, "master.key.next")));
      const used = Buffer.from(again.current).toString("hex");
      assert.equal(used === before, survived === 0, "the key changes with the first commit");
    }
  });

  test("a key that comes from elsewhere is given, and the one in use is not taken again", async () => {
    await using at = await house();
    rmSync(join(at.folder, "master.key"));
    const [one, two] = [randomBytes(32), randomBytes(32)];
    await using other = await openHouseWith(one);
    const keys = await other.open();
    await assert.rejects(keys.change(), failsWith("master_key_new_missing"));
    await assert.rejects(keys.change(one), failsWith("master_key_same"));
    await keys.change(two);
    await keys.settled();
    await assert.rejects(other.open(), failsWith("master_key_wrong"));
    assert.equal((await other.open(two)).keyring.masterKeyId, new Keyring(two).masterKeyId);
    assert.ok(!existsSync(join(other.folder, "master.key")), "no file is made of it");
  });

  test("a record that does not open is named, keeps the old key, and can be given up", async () => {
    await using at = await house();
    const [one] = await records(at.store);
    assert.ok(one);
    const broken = `${one.sealed.slice(0, -4)}AAAA` as typeof one.sealed;
    await at.store.housekeep(({ db }) => one.replace(db, broken));
    const keys = await at.open();
    await keys.change();
    await keys.settled();
    const { change } = keys.status();
    assert.equal(change, null, "the body of a record is not opened: only its data key is");
    const wrapped = (await records(at.store)).find(({ place }) => place.id === one.place.id);
    assert.throws(
      () => keys.keyring.unseal(one.place, wrapped!.sealed),
      failsWith("sealed_record_damaged"),
    );
    const [, id, , body] = wrapped!.sealed.split(".");
    await at.store.housekeep(({ db }) =>
      wrapped!.replace(db, `v1.${id}.AAAA.${body}` as typeof one.sealed),
    );
    await keys.change();
    await keys.settled();
    assert.equal(keys.status().change?.damaged.length, 1);
    assert.equal(masterKeyIdOf((await records(at.store))[0]!.sealed), id);
    assert.equal((await keys.abandonDamaged()).change, null);
  });
});

async function openHouseWith(
  key: Buffer,
): Promise<AsyncDisposable & { folder: string; open(key?: Buffer): Promise<MasterKeys> }> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-keys-"));
  const store = await openStore(join(folder, "countersign.db"));
  return {
    folder,
    open: (other = key) => {
      const variables = { key: other.toString("base64") };
      return MasterKeys.open({ store, dataFolder: folder, variables, clock, log });
    },
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

async function opened(variables: KeysOptions["variables"]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-keys-"));
  await using store = await openStore(":memory:");
  try {
    const keys = await MasterKeys.open({ store, dataFolder: folder, variables, clock, log });
    return keys.keyring.masterKeyId;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("where the master key comes from", () => {
  const key = randomBytes(32).toString("base64");
  const { masterKeyId } = new Keyring(Buffer.from(key, "base64"));

  test("a variable, a file, or a command", async () => {
    const file = join(mkdtempSync(join(tmpdir(), "countersign-keys-")), "key");
    writeFileSync(file, `${key}\n`);
    try {
      assert.equal(await opened({ key }), masterKeyId);
      assert.equal(await opened({ file }), masterKeyId);
      assert.equal(await opened({ command: `cat '${file}'` }), masterKeyId);
    } finally {
      rmSync(join(file, ".."), { recursive: true });
    }
  });

  test("two of them, a file that is gone, and a command that fails are said, and show no key", async () => {
    await assert.rejects(opened({ key, file: "/x" }), failsWith("master_key_source_ambiguous"));
    await assert.rejects(opened({ file: "/no/such" }), failsWith("master_key_missing", /ENOENT/));
    const command = `echo ${key}; echo 'vault is sealed' >&2; exit 3`;
    await assert.rejects(
      opened({ command }),
      failsWith(
        "master_key_command_failed",
        /^the master key command ended with status 3: vault is sealed$/,
      ),
    );
    await assert.rejects(opened({ command: "true" }), failsWith("master_key_malformed"));
  });
});
