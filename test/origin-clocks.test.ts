import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import type { Hono } from "hono";
import { pino } from "pino";
import { Trust } from "countersign-origin";
import { authorize, follow, secureServerOptions } from "countersign-origin/node";
import { publishedIdentities } from "../src/control/identity/published.ts";
import { Identities } from "../src/identity/identities.ts";
import {
  activateAuthority,
  prepareAuthority,
  retireAuthorities,
} from "../src/identity/lifecycle.ts";
import type { Keyring } from "../src/keys/seal.ts";
import { backUp, restore } from "../src/platform/backup/backup.ts";
import { openDataFolder } from "../src/platform/data-folder.ts";
import { MasterKeys } from "../src/platform/master-key-change.ts";
import { createAccount } from "../src/store/access/accounts.ts";
import { insertIssued, revokeSerial } from "../src/store/identities.ts";
import { openStore, type Store, type Write } from "../src/store/store.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

const HOUR = 3_600_000;
const log = pino({ level: "silent" });

/** The data that a control plane publishes of one account, with a clock that is set by hand. */
class Plane {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly account: string;
  readonly app: Hono;
  readonly identities: Identities;
  ahead = 0;

  constructor(store: Store, keyring: Keyring, account: string) {
    this.store = store;
    this.keyring = keyring;
    this.account = account;
    store.sealWith(keyring);
    const clock = (): Date => new Date(Date.now() + this.ahead);
    this.identities = new Identities({ store, keyring, clock, trustDomain: "example.org" });
    this.app = publishedIdentities({ store, clock, log }, this.identities);
  }

  /** Revokes a certificate that expires in this many hours. */
  async revoke(serial: string, hoursLeft: number): Promise<void> {
    const { account: accountId, identities, store } = this;
    const { id: authorityId } = await identities.authority(accountId);
    const now = Date.now();
    await store.housekeep(async ({ db, changed }) => {
      await insertIssued(db, {
        serial,
        accountId,
        authorityId,
        scriptName: null,
        spiffeId: null,
        issuedOn: new Date(now).toISOString(),
        notAfter: new Date(now + hoursLeft * HOUR).toISOString(),
        revokedOn: null,
      });
      await revokeSerial(db, { accountId, serial, revokedOn: new Date(now).toISOString() });
      await changed({ kind: "identities", accountId });
    });
  }

  /** Makes another CA, and retires the previous one once `isKnown` to origins. */
  async exchange(isKnown: () => boolean): Promise<void> {
    const { account: accountId, identities } = this;
    const row = await identities.newAuthority(accountId, 0, "prepared");
    await this.#changed((write) =>
      prepareAuthority(write, (number) => ({ ...row, number }), accountId),
    );
    await until(isKnown);
    const now = new Date();
    await this.#changed(async (write) => {
      await activateAuthority(write, accountId, now);
      await retireAuthorities(write, { accountId, now, force: true });
    });
  }

  #changed(work: (write: Write) => Promise<unknown>): Promise<unknown> {
    return this.store.housekeep(async (write) => {
      await work(write);
      await write.changed({ kind: "identities", accountId: this.account });
    });
  }

  async bundle(): Promise<string> {
    const path = `/client/v4/accounts/${this.account}/countersign/identity/bundle.pem`;
    return (await this.app.request(path)).text();
  }
}

interface Following {
  readonly followed: ReturnType<typeof follow>;
  readonly said: string[];
  /** The plane that answers. Null: none does. */
  plane: Plane | null;
  /** ms that the origin's clock is ahead. */
  ahead: number;
  has(serial: string): boolean;
}

/** An origin that follows the plane. */
function origin(t: TestContext, plane: Plane, authorities: string, cache?: string): Following {
  const said: string[] = [];
  const set: { plane: Plane | null; ahead: number } = { plane, ahead: 0 };
  const followed = follow({
    api: "https://control.test/client/v4",
    account: plane.account,
    authorities,
    ...(cache !== undefined && { cache }),
    log: (message) => said.push(message),
    clock: () => Date.now() + set.ahead,
    fetch: async (url, init) => {
      if (set.plane === null) throw new Error("ECONNREFUSED");
      return set.plane.app.request(url, init);
    },
  });
  const has = (serial: string): boolean => followed.trust.state.revoked.has(serial);
  const it: Following = Object.assign(set, { followed, said, has });
  t.after(() => it.followed[Symbol.asyncDispose]());
  return it;
}

function trusted({ followed }: Following): string {
  return followed.trust.state.authorities.join("");
}

async function started(t: TestContext): Promise<{ plane: Plane; folder: string; data: string }> {
  const folder = await mkdtemp(join(tmpdir(), "countersign-clocks-"));
  t.after(() => rm(folder, { recursive: true }));
  const data = join(folder, "data");
  openDataFolder(data)[Symbol.dispose]();
  const store = await openStore(join(data, "countersign.db"));
  t.after(() => store[Symbol.asyncDispose]());
  const opened = { store, dataFolder: data, variables: {}, clock: () => new Date(), log };
  const { keyring } = await MasterKeys.open(opened);
  store.sealWith(keyring);
  const account = await store.housekeep(({ db }) =>
    createAccount(db, { name: "Acme", subdomain: null, now: new Date() }),
  );
  return { plane: new Plane(store, keyring, account.id), folder, data };
}

test("a control plane whose clock jumps ahead and back forgets no revocation", async (t) => {
  const { plane } = await started(t);
  const it = origin(t, plane, await plane.bundle());
  await plane.revoke("AB01", 2);
  await until(() => it.has("AB01"));
  plane.ahead = 6 * HOUR;
  await plane.revoke("AB02", 2);
  await until(() => it.has("AB02"));
  // A new origin knows only what it is told now.
  const fresh = origin(t, plane, await plane.bundle());
  await until(() => fresh.has("AB02"));
  assert.equal(
    fresh.has("AB01"),
    true,
    "it has not expired, whatever the control plane's clock says",
  );
  plane.ahead = 0;
  await plane.revoke("AB03", 2);
  await until(() => it.has("AB03") && fresh.has("AB03"));
  assert.deepEqual([it.said, fresh.said], [[], []], "what was signed ahead is not signed with now");
});

test("an origin whose clock is hours behind hears of revocations; one days ahead does when it is back", async (t) => {
  const { plane } = await started(t);
  const it = origin(t, plane, await plane.bundle());
  it.ahead = -5 * HOUR;
  await plane.revoke("AB01", 20);
  await until(() => it.has("AB01"));
  it.ahead = 48 * HOUR;
  await plane.revoke("AB02", 20);
  await until(() => it.said.some((line) => line.includes("has expired")));
  assert.deepEqual([it.has("AB01"), it.has("AB02")], [true, false]);
  it.ahead = 0;
  await until(() => it.has("AB02"));
});

test("an origin that starts again without the control plane has what was in force, 15 hours later", async (t) => {
  const { plane, folder } = await started(t);
  const cache = join(folder, "feed");
  const bundle = await plane.bundle();
  await plane.revoke("AB01", 20);
  const first = origin(t, plane, bundle, cache);
  // The state in force is written to the file a moment later.
  const kept = async (): Promise<string> => {
    const [, payload = ""] = (await readFile(cache, "utf8").catch(() => "")).split(".");
    return Buffer.from(payload, "base64url").toString();
  };
  await until(async () => (await kept()).includes("AB01"));
  // Nothing changes, but the kept file is written again all the same.
  first.ahead = 2 * HOUR;
  plane.ahead = 2 * HOUR;
  await plane.revoke("AB02", 20);
  await until(async () => (await kept()).includes("AB02"));
  await first.followed[Symbol.asyncDispose]();

  const again = origin(t, plane, bundle, cache);
  again.plane = null;
  again.ahead = 17 * HOUR;
  await again.followed.ready;
  assert.deepEqual([again.has("AB01"), again.has("AB02")], [true, true]);
  await again.followed[Symbol.asyncDispose]();

  const late = origin(t, plane, bundle, cache);
  late.plane = null;
  late.ahead = 300 * HOUR;
  await until(() => late.said.length > 0);
  assert.equal(late.followed.cursor(), 0, "what was signed long ago is not in force");
  assert.equal(late.has("AB01"), true, "and what it revoked stays revoked");
});

test("after a backup was restored that knows nothing of it, a revocation stays in force at an origin", async (t) => {
  const { plane, folder, data } = await started(t);
  const bundle = await plane.bundle();
  const file = join(folder, "backup.db");
  await plane.revoke("AB01", 20);
  backUp({ dataFolder: data, file, force: false });
  const cache = join(folder, "feed");
  const it = origin(t, plane, bundle, cache);
  await plane.revoke("AB02", 20);
  await until(() => it.has("AB01") && it.has("AB02"));

  const target = join(folder, "restored");
  await restore({ dataFolder: target, file, force: false, variables: {}, now: new Date() });
  const store = await openStore(join(target, "countersign.db"));
  t.after(() => store[Symbol.asyncDispose]());
  const restored = new Plane(store, plane.keyring, plane.account);
  const fresh = origin(t, restored, bundle);
  await restored.revoke("AB03", 20);
  await until(() => fresh.has("AB03"));
  assert.equal(fresh.has("AB02"), false, "the backup does not know it");
  it.plane = restored;
  await plane.revoke("AB04", 20);
  await until(() => it.has("AB03"));
  assert.deepEqual([it.has("AB01"), it.has("AB02")], [true, true]);

  // And in an origin that starts again with its kept file.
  await until(async () => (await readFile(cache, "utf8")).includes("AB02"));
  await it.followed[Symbol.asyncDispose]();
  const again = origin(t, restored, bundle, cache);
  again.plane = null;
  await again.followed.ready;
  assert.deepEqual([again.has("AB02"), again.has("AB03")], [true, true]);
});

test("a database that was put back with its older cursor is noticed, and forgets nothing either", async (t) => {
  const { plane, folder, data } = await started(t);
  const bundle = await plane.bundle();
  const file = join(folder, "backup.db");
  await plane.revoke("AB01", 20);
  backUp({ dataFolder: data, file, force: false });
  const store = await openStore(file);
  t.after(() => store[Symbol.asyncDispose]());
  const older = new Plane(store, plane.keyring, plane.account);
  const it = origin(t, plane, bundle);
  await plane.revoke("AB02", 20);
  await plane.revoke("AB03", 20);
  await until(() => it.has("AB03"));
  it.plane = older;
  await plane.revoke("AB04", 20);
  await until(() => it.said.some((line) => /is older \(\d+\) than what is in force/.test(line)));
  // Later its cursor is past the other's.
  for (const serial of ["AC01", "AC02", "AC03", "AC04"]) await older.revoke(serial, 20);
  await until(() => it.has("AC04"));
  assert.deepEqual(
    ["AB01", "AB02", "AB03"].map((serial) => it.has(serial)),
    [true, true, true],
  );
});

test("after a backup from before an exchange of the CA, an origin keeps what it has and says why, until it is given the bundle anew", async (t) => {
  const { plane, folder, data } = await started(t);
  const file = join(folder, "backup.db");
  const cache = join(folder, "feed");
  const before = await plane.bundle();
  backUp({ dataFolder: data, file, force: false });
  const it = origin(t, plane, before, cache);
  await plane.revoke("AB01", 20);
  await until(() => it.has("AB01"));
  await plane.exchange(() => it.followed.trust.state.authorities.length === 2);
  const after = await plane.bundle();
  const trusts = (bundle: string): boolean => trusted(it) === bundle;
  await until(() => trusts(after));
  assert.notEqual(before, after);

  const target = join(folder, "restored");
  await restore({ dataFolder: target, file, force: false, variables: {}, now: new Date() });
  const store = await openStore(join(target, "countersign.db"));
  t.after(() => store[Symbol.asyncDispose]());
  const restored = new Plane(store, plane.keyring, plane.account);
  it.plane = restored;
  await plane.revoke("AB02", 20);
  await until(() => it.said.some((line) => line.includes("does not lead to a CA of the account")));
  assert.equal(trusts(after), true, "a CA that was retired does not come back by itself");
  await it.followed[Symbol.asyncDispose]();

  // A start with the current bundle, which the origin's owner has fetched: revoked certificates stay revoked.
  const again = origin(t, restored, await restored.bundle(), cache);
  await restored.revoke("AB03", 20);
  await until(() => again.has("AB03"));
  assert.deepEqual([trusted(again) === before, again.has("AB01")], [true, true]);
});

test("an origin whose clock jumps refuses a caller for as long, and lets it in when the clock is back", async (t) => {
  const [authority, servers] = await Promise.all([makeAuthority("Acme"), makeAuthority("Servers")]);
  const server = await servers.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const caller = await authority.issue({
    subject: "CN=a",
    uris: ["spiffe://example.org/account/acme/worker/a"],
  });
  const policy = { allow: [{ worker: ["a"] }] };
  const trust = new Trust({ authorities: [authority.pem], policy });
  let ahead = 0;
  const guard = authorize(trust, { trust, clock: () => Date.now() + ahead, log: () => {} });
  const https = createServer(
    { cert: server.chain, key: server.key, ...secureServerOptions(trust) },
    guard.handler((_, response) => response.end("in")),
  ).listen(0, "127.0.0.1");
  await once(https, "listening");
  t.after(() => {
    https.closeAllConnections();
    https.close();
  });
  const ask = async (): Promise<string> => {
    const { port } = https.address() as AddressInfo;
    const pair = { cert: caller.chain, key: caller.key, ca: servers.pem };
    const sent = request({
      host: "127.0.0.1",
      servername: "localhost",
      port,
      agent: false,
      ...pair,
    });
    sent.end();
    const [response] = (await once(sent, "response")) as [NodeJS.ReadableStream];
    const body = await text(response);
    return /"code":"([a-z_]+)"/.exec(body)?.[1] ?? body;
  };
  const answers: string[] = [];
  for (const hours of [0, 24 * 400, 0, -5, 0]) {
    ahead = hours * HOUR;
    answers.push(await ask());
  }
  assert.deepEqual(answers, ["in", "certificate_expired", "in", "certificate_not_yet_valid", "in"]);
});
