import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Keyring } from "../src/keys/seal.ts";
import { ownerOfData } from "../src/control/api/auth.ts";
import { checkAudit } from "../src/store/access/audit-check.ts";
import type { Audit } from "../src/store/access/audit.ts";
import { bootstrap } from "../src/store/bootstrap.ts";
import type { Database } from "../src/store/database.ts";
import type { Store } from "../src/store/store.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { engines, testKeyring } from "./helpers/database.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

const { SQLite: sqlite = () => Promise.reject(new Error("no SQLite")) } = engines;

const deed = (id: string): Audit => ({
  by: ownerOfData,
  action: "account.create",
  accountId: null,
  resource: { type: "account", id },
});

const filled = async (entries: number, open = sqlite): Promise<Store> => {
  const store = await open();
  await bootstrap(store, { scopes: [], now: new Date() });
  for (let i = 2; i <= entries; i++) {
    await store.write(async () => ({ value: null, audit: deed(`n${i}`) }));
  }
  return store;
};
/** Changes the tables as somebody could who can write to the database but has no master key. */
const tamper = async (store: Store, work: (db: Database) => Promise<unknown>): Promise<void> => {
  await store.write(async ({ db }) => ({ value: await work(db), audit: null }));
};
const broken = async (store: Store): Promise<string | null> =>
  (await checkAudit(store.db, testKeyring)).broken;

for (const [engine, open] of Object.entries(engines)) {
  it(`the audit log is one whole chain on ${engine}, whatever is written at the same time`, async () => {
    await using store = await filled(5, open);
    const check = await checkAudit(store.db, testKeyring);
    assert.equal(check.broken, null);
    assert.equal(check.entries, 5);
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.write(async () => ({ value: null, audit: deed(`at once ${i}`) })),
      ),
    );
    const later = await checkAudit(store.db, testKeyring, check.head);
    assert.deepEqual([later.broken, later.entries], [null, 25]);
    const other = { ...check.head, hash: "0".repeat(64) };
    assert.match((await checkAudit(store.db, testKeyring, other)).broken ?? "", /entry 5 is not/);
  });
}

describe("the audit log's chain", () => {
  it("an entry that was changed is found", async () => {
    await using store = await filled(5);
    await tamper(store, (db) =>
      db
        .updateTable("auditEntries")
        .set((e) => ({ body: e.fn<string>("replace", ["body", e.val("n3"), e.val("n9")]) }))
        .where("sequence", "=", 3)
        .execute(),
    );
    assert.equal(await broken(store), "entry 3 was changed");
  });

  it("a column beside the entry that was changed is found", async () => {
    await using store = await filled(3);
    await tamper(store, (db) =>
      db.updateTable("auditEntries").set({ email: "x" }).where("sequence", "=", 2).execute(),
    );
    assert.match((await broken(store)) ?? "", /column of entry 2/);
  });

  it("entries that were taken out are found, in the middle and at the end", async () => {
    await using store = await filled(6);
    const out = (from: number, to: number) =>
      tamper(store, (db) =>
        db
          .deleteFrom("auditEntries")
          .where("sequence", ">=", from)
          .where("sequence", "<=", to)
          .execute(),
      );
    await out(6, 6);
    assert.equal(await broken(store), "the log ends at entry 5, but 6 were written");
    await out(3, 4);
    assert.equal(await broken(store), "entries 3 to 4 are missing");
  });

  it("a rewritten chain does not match the sealed end", async () => {
    await using store = await filled(3);
    await using other = await filled(3);
    const rows = await other.db.selectFrom("auditEntries").selectAll().execute();
    const head = await other.db.selectFrom("auditHeads").selectAll().executeTakeFirstOrThrow();
    await tamper(store, async (db) => {
      await db.deleteFrom("auditEntries").execute();
      await db.insertInto("auditEntries").values(rows).execute();
      await db.updateTable("auditHeads").set({ hash: head.hash }).execute();
    });
    assert.equal(await broken(store), "the whole log was rewritten");
    const forger = new Keyring(Buffer.alloc(32, 9));
    assert.match(
      (await checkAudit(store.db, forger)).broken ?? "",
      /not written with this master key/,
    );
    await tamper(store, (db) => db.updateTable("auditHeads").set({ sealed: null }).execute());
    assert.match((await broken(store)) ?? "", /is not sealed/);
  });

  it("an action that cannot be written down does not happen", async () => {
    await using store = await filled(1);
    await tamper(store, (db) => db.deleteFrom("auditHeads").execute());
    const rename = store.write(async ({ db }) => {
      await db.updateTable("accounts").set({ name: "changed" }).execute();
      return { value: null, audit: deed("x") };
    });
    await assert.rejects(rename);
    const { name } = await store.db.selectFrom("accounts").select("name").executeTakeFirstOrThrow();
    assert.equal(name, "Countersign");
  });

  it("nothing is changed past write()", async () => {
    await using store = await filled(1);
    await assert.rejects(
      store.db.updateTable("accounts").set({ name: "changed" }).execute(),
      /changed by its write\(\) alone/,
    );
    await assert.rejects(store.db.deleteFrom("accounts").execute(), /write\(\) alone/);
  });
});

describe("what the API does", () => {
  let control: TestControl;
  let key: string;
  let fingerprint: string;
  before(async () => {
    control = await startControl();
    const leaf = await (await makeAuthority()).issue({ subject: "CN=client" });
    key = leaf.key;
    const { result } = await control.call("POST", "/accounts/{account}/mtls_certificates", {
      name: "client",
      certificates: leaf.pem,
      private_key: key,
    });
    const { active } = await control.store.db
      .selectFrom("certificateVersions")
      .select("fingerprint as active")
      .executeTakeFirstOrThrow();
    fingerprint = active;
    const script = "/accounts/{account}/workers/scripts/shop";
    await control.call("PUT", script, scriptForm());
    await control.call("PUT", `${script}/secrets`, {
      name: "S",
      text: "hush-hush",
      type: "secret_text",
    });
    await control.call("POST", `${script}/subdomain`, { enabled: true });
    await control.call("PUT", `${script}/routes`, [{ pattern: "shop.example.com/*" }]);
    await control.call("DELETE", script);
    await control.call("DELETE", `/accounts/{account}/mtls_certificates/${result.id}`);
  });
  after(() => control[Symbol.asyncDispose]());

  const logs = (query = "") => control.call("GET", `/accounts/{account}/audit_logs${query}`);

  it("is in the log of the account: who, from where, what, before and after", async () => {
    const { result } = await logs("?direction=asc");
    assert.deepEqual(
      result.map((entry: { action: { type: string } }) => entry.action.type),
      [
        "account.create",
        "certificate.upload",
        "deployment.create",
        "deployment.create",
        "script.subdomain",
        "routes.replace",
        "script.delete",
        "certificate.delete",
      ],
    );
    const [, upload, , , subdomain, routes] = result;
    assert.equal(upload.actor.email, "admin@localhost");
    assert.equal(upload.actor.type, "token");
    assert.equal(upload.actor.ip, "127.0.0.1");
    assert.equal(upload.metadata.fingerprint, fingerprint);
    assert.equal(upload.metadata.name, "client");
    assert.equal(subdomain.newValueJson.enabled, true);
    assert.deepEqual(routes.newValueJson, { patterns: ["shop.example.com/*"] });
  });

  it("has neither key nor secret nor token in it", async () => {
    const text = JSON.stringify((await logs()).result);
    for (const secret of ["hush-hush", control.token, key.split("\n")[1] ?? "-"]) {
      assert.ok(!text.includes(secret));
    }
  });

  it("is paged, newest first, and found by action, person and time", async () => {
    const first = await logs("?per_page=3&page=1");
    const third = await logs("?per_page=3&page=3");
    assert.deepEqual([first.result.length, third.result.length], [3, 2]);
    assert.equal(first.result[0].action.type, "certificate.delete");
    assert.equal((await logs("?action.type=deployment.create")).result.length, 2);
    assert.equal((await logs("?actor.email=nobody@example.com")).result.length, 0);
    assert.equal((await logs("?before=2020-01-01")).result.length, 0);
    assert.equal((await logs("?since=2020-01-01T00:00:00Z")).result.length, 8);
    assert.equal((await logs("?since=whenever")).status, 400);
  });

  it("that fails leaves no entry", async () => {
    const written = (await logs()).result.length;
    const refused = await control.call("POST", "/accounts/{account}/mtls_certificates", {
      certificates: "nonsense",
    });
    assert.equal(refused.success, false);
    assert.equal((await logs()).result.length, written);
    assert.equal((await checkAudit(control.store.db, control.keyring)).broken, null);
  });
});
