import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { boundDatabase, databaseConfig } from "../../../test/helpers/databases.ts";
import { masterKey } from "../../../test/helpers/gateway.ts";
import type { Credential } from "../../certificates/credential.ts";
import type { GatewayBinding } from "../../contract/gateway.ts";
import { IDENTITY, identityId } from "../../contract/identity.ts";
import { Failure } from "../../failures/failures.ts";
import { Keyring } from "../../keys/seal.ts";
import { noTrust } from "../origin/trust.ts";
import { Databases } from "./databases.ts";
import type { DatabaseSession } from "./session.ts";

const OWNER = { accountId: "a", scriptName: "worker", bindingName: "DB" };
const BINDING: GatewayBinding = { ...OWNER, socketPath: "s", certificateId: "" };

interface World {
  readonly databases: Databases;
  /** What was presented to whom. */
  readonly presented: unknown[][];
}

function world(key: Uint8Array = masterKey): World {
  const presented: unknown[][] = [];
  const databases = new Databases({
    keyring: new Keyring(Uint8Array.from(key)),
    contexts: "contexts" as never,
    credential: (...args) => {
      presented.push(args);
      return { accountId: "a", certificateId: args[1], version: 3, trust: null } as Credential;
    },
    trust: () => noTrust,
    network: (owner) => ({ owner }) as never,
    shares: { connection: () => () => {} },
  });
  return { databases, presented };
}

/** A session, and why it was cut. */
function session(
  databaseId: string,
  certificateId: string | null,
): DatabaseSession & { readonly cuts: Failure[] } {
  const cuts: Failure[] = [];
  const credential = certificateId === null ? null : { certificateId, version: 3 };
  return {
    accountId: "a",
    databaseId,
    credential,
    cuts,
    cut: (why: Failure) => cuts.push(why),
  } as never;
}

test("a database that does not exist, or no more, or in another account, is gone", () => {
  const { databases } = world();
  const gone = {
    code: "database_gone",
    message: "the Hyperdrive configuration d does not exist in account a",
    facts: { databaseId: "d" },
  };
  assert.throws(() => databases.route("d", OWNER), gone);
  const config = databaseConfig();
  databases.set(config);
  assert.equal(databases.config("a", "d"), config);
  assert.throws(() => databases.config("b", "d"), { code: "database_gone" });
  databases.remove("a", "d");
  assert.throws(() => databases.config("a", "d"), gone);
});

test("what a configuration presents is its certificate, its Worker's identity, or nothing", () => {
  for (const [certificateId, expected] of [
    ["c", [["a", "c", "localhost"]]],
    [IDENTITY, [["a", identityId("worker"), "localhost"]]],
    [null, []],
  ] as const) {
    const { databases, presented } = world();
    databases.set(databaseConfig({ certificateId }));
    const { credential, network, contexts } = databases.route("d", OWNER);
    assert.deepEqual(presented, expected);
    assert.equal(credential?.certificateId ?? null, expected[0]?.[1] ?? null);
    assert.deepEqual([network, contexts], [{ owner: OWNER }, "contexts"]);
  }
});

test("the password is opened when it is needed, with the key and for the place that it was sealed for", () => {
  const config = databaseConfig();
  const { databases } = world();
  databases.set(config);
  assert.equal(databases.route("d", OWNER).password(), "secret");
  databases.set({ ...config, databaseId: "other" });
  const moved = databases.route("other", OWNER);
  assert.throws(() => moved.password());
  const { databases: others } = world(randomBytes(32));
  others.set(config);
  const unreadable = others.route("d", OWNER);
  assert.throws(() => unreadable.password());
});

test("all Workers of one database share its places, and no other's", () => {
  const { databases } = world();
  databases.set(databaseConfig());
  databases.set(databaseConfig({ databaseId: "other" }));
  const { places } = databases.route("d", OWNER);
  assert.equal(databases.route("d", { ...OWNER, scriptName: "another" }).places, places);
  databases.set(databaseConfig({ connectionLimit: 1 }));
  assert.equal(databases.route("d", OWNER).places, places, "a change leaves who is connected");
  assert.notEqual(databases.route("other", OWNER).places, places);
  databases.remove("a", "d");
  databases.set(databaseConfig());
  assert.notEqual(databases.route("d", OWNER).places, places);
});

test("a session is cut with its database or its certificate, and the others go on", () => {
  const { databases } = world();
  const config = databaseConfig();
  const router = databases.router(BINDING, boundDatabase(config), {} as never);
  const all = [session("d", "c"), session("d", null), session("other", "c"), session("other", "x")];
  for (const one of all) router.opened(one);
  databases.remove("a", "d");
  const codes = (): unknown[] => all.map(({ cuts }) => cuts.map(({ code }) => code));
  assert.deepEqual(codes(), [["database_gone"], ["database_gone"], [], []]);
  for (const one of all.slice(0, 2)) router.closed(one);
  assert.deepEqual(databases.sessions(), all.slice(2));
  router.opened(session("other", null));
  databases.cut(
    ({ certificateId }) => certificateId === "c",
    ({ version }) => `was revoked as version ${version}`,
  );
  const [why] = all[2]!.cuts;
  assert.equal(why?.code, "origin_connection_cut");
  assert.equal(
    why.message,
    "the connection to the database was cut: certificate c was revoked as version 3",
  );
  assert.deepEqual(why.facts, { certificateId: "c", version: 3 });
  assert.deepEqual(all[3]!.cuts, []);
});

test("a binding leads to its database as it is now, and is counted once for each certificate", () => {
  const { databases } = world();
  const counted: unknown[] = [];
  const observer = {
    connections: (binding: GatewayBinding, certificateId: string | null) => {
      counted.push(certificateId);
      return { binding, certificateId };
    },
  };
  const config = databaseConfig();
  const router = databases.router(BINDING, boundDatabase(config), observer as never);
  assert.throws(() => router.route(), { code: "database_gone" });
  databases.set(config);
  assert.equal(router.route().config, config);
  for (const id of ["c", "c", null, null]) assert.equal(router.observer(id), router.observer(id));
  assert.deepEqual(counted, ["c", null]);
});

test("a configuration is tested with all that its connections have, wherever its server is", () => {
  const { databases } = world();
  const { signal } = new AbortController();
  for (const [host, origin] of [
    ["db.example", "postgres://db.example:5432"],
    ["::1", "postgres://[::1]:5432"],
  ] as const) {
    const config = databaseConfig({ host });
    databases.set(config);
    const { target, credential, network, database, contexts } = databases.tested(
      "d",
      OWNER,
      signal,
    );
    assert.deepEqual(target.destination, { host, port: 5432 });
    assert.deepEqual([target.origin, target.protocol], [origin, "postgres"]);
    assert.deepEqual([credential?.certificateId, contexts], ["c", "contexts"]);
    assert.deepEqual(network, { owner: OWNER, signal });
    assert.equal(database?.config, config);
    assert.equal(database.password(), "secret");
  }
});
