import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControl, type TestControl } from "./helpers/control.ts";
import { fillTable } from "./helpers/fill-table.ts";
import { makeAuthority } from "./helpers/pki.ts";

let control: TestControl;
const now = new Date().toISOString();
before(async () => (control = await startControl()));
after(() => control[Symbol.asyncDispose]());

/** Fills a table to one row below the account's limit. */
function fill(table: string, most: number, row: (i: number) => object): Promise<void> {
  return fillTable(control, table, most - 1, (i) => ({
    id: `${table}-${i}`,
    createdOn: now,
    ...row(i),
  }));
}

for (const { what, table, most, row, path, body, code } of [
  {
    what: "service tokens",
    table: "serviceTokens",
    most: 1_000,
    row: (i: number) => ({
      name: "t",
      clientId: `client ${i}`,
      secretHash: "",
      duration: "8760h",
      updatedOn: now,
      secretVersion: 1,
      enabled: 1,
    }),
    path: "/access/service_tokens",
    body: async (i: number) => ({ name: `token ${i}` }),
    code: "access_invalid",
  },
  {
    what: "Access applications",
    table: "accessApplications",
    most: 500,
    row: (i: number) => ({
      name: "a",
      aud: "",
      domains: JSON.stringify([`a${i}.filled.example`]),
      policies: "[]",
      settings: "{}",
      updatedOn: now,
    }),
    path: "/access/apps",
    body: async (i: number) => ({ type: "self_hosted", name: "n", domain: `b${i}.example` }),
    code: "access_invalid",
  },
  {
    what: "CAs of clients",
    table: "accessAuthorities",
    most: 50,
    row: (i: number) => ({
      name: "c",
      certificate: "",
      fingerprint: String(i),
      hosts: "[]",
      expiresOn: now,
      updatedOn: now,
    }),
    path: "/access/certificates",
    body: async (i: number) => ({ name: `ca ${i}`, certificate: (await makeAuthority()).pem }),
    code: "access_invalid",
  },
  {
    what: "revocations of clients' certificates",
    table: "clientRevocations",
    most: 10_000,
    row: (i: number) => ({ serial: i.toString(16) }),
    path: "/countersign/client_revocations",
    body: async (i: number) => ({ serial_number: `AB0${i}` }),
    code: "client_rules_invalid",
  },
  {
    what: "revocation lists",
    table: "revocationLists",
    most: 10,
    row: (i: number) => ({
      interval: 3600,
      issuer: "CN=x",
      authority: String(i),
      hash: String(i),
      serials: "",
      entries: 0,
      thisUpdate: now,
      nextUpdate: now,
      takenOn: now,
      failures: 0,
    }),
    path: "/countersign/revocation_lists",
    body: async (i: number) => ({ list: await listOf(i) }),
    code: "revocation_list_invalid",
  },
]) {
  test(`an account has ${most} ${what}, and is refused one more`, async () => {
    await fill(table, most, row);
    const all = `/accounts/${control.accountId}${path}`;
    const last = await control.call("POST", all, await body(1));
    assert.ok(last.success, JSON.stringify(last.errors));
    const more = await control.call("POST", all, await body(2));
    assert.equal(more.status, 400);
    assert.equal(more.errors[0]!.meta?.["failure"], code, JSON.stringify(more.errors));
  });
}

/** A list of a CA that the account knows; each list is of another CA. */
async function listOf(i: number): Promise<string> {
  const authority = await makeAuthority(`Lists ${i}`);
  const uploaded = await control.call("POST", `/accounts/${control.accountId}/mtls_certificates`, {
    certificates: authority.pem,
    ca: true,
  });
  assert.ok(uploaded.success, JSON.stringify(uploaded.errors));
  return authority.revoke([]);
}

test("a policy has 100 rules of a kind", async () => {
  const any = { any_valid_service_token: {} };
  const policy = (rules: number) => ({
    name: "p",
    decision: "non_identity",
    include: Array.from({ length: rules }, () => any),
  });
  const path = `/accounts/${control.accountId}/access/policies`;
  const most = await control.call("POST", path, policy(100));
  assert.ok(most.success, JSON.stringify(most.errors));
  assert.equal((await control.call("POST", path, policy(101))).status, 400);
});

const rule = (worker: string): object => ({ allow: [{ worker }] });

test("policies of origins: their length, their number and their versions have an end", async () => {
  const path = `/accounts/${control.accountId}/countersign/policies`;
  const put = (name: string, body: object) => control.call("PUT", `${path}/${name}`, body);
  for (let version = 1; version <= 103; version += 1) {
    assert.equal((await put("p", rule(`w${version}`))).result.version, version);
  }
  const versions = (await control.call("GET", `${path}/p/versions`)).result as {
    version: number;
  }[];
  assert.deepEqual([versions.length, versions[0]!.version, versions[99]!.version], [100, 103, 4]);
  const long = await put("long", rule("w".repeat(128 * 1024)));
  assert.match(long.errors[0]!.message, /characters where 131072 are allowed/);
  for (let n = 1; n < 100; n += 1) assert.ok((await put(`p${n}`, rule("w"))).success);
  assert.match((await put("p100", rule("w"))).errors[0]!.message, /the account has 100 policies/);
  assert.ok((await put("p", rule("again"))).success, "what is there may change");
  const listed = (await control.call("GET", path)).result as { name: string; version: number }[];
  assert.equal(listed.length, 100);
  assert.deepEqual(listed.find(({ name }) => name === "p")?.version, 104);
});
