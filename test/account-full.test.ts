import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startControl, type TestControl } from "./helpers/control.ts";
import { fillTable } from "./helpers/fill-table.ts";
import { newMaterial } from "./helpers/one-of-each.ts";
import { scriptForm } from "./helpers/script-form.ts";

let control: TestControl;
const now = new Date().toISOString();
let scriptId: string;
let zoneId: string;
let certificate: string;
let csr: string;

before(async () => {
  control = await startControl();
  const made = await control.call("PUT", `${account()}/workers/scripts/first`, scriptForm());
  assert.ok(made.success, JSON.stringify(made.errors));
  const row = control.store.db.selectFrom("scripts").select("id");
  scriptId = (await row.executeTakeFirstOrThrow()).id;
  const zone = await control.call("POST", "/zones", { name: "first.example" });
  zoneId = zone.result.id;
  const material = await newMaterial();
  csr = material.csr;
  const pair = { certificates: material.pem, private_key: material.key };
  const uploaded = await control.call("POST", `${account()}/mtls_certificates`, pair);
  certificate = uploaded.result.id;
});
after(() => control[Symbol.asyncDispose]());

const account = (): string => `/accounts/${control.accountId}`;

const named = (i: number): { id: string; name: string; createdOn: string } => ({
  id: `filled-${i}`,
  name: `filled-${i}`,
  createdOn: now,
});
const groups = async (): Promise<readonly { id: string }[]> =>
  (await control.call("GET", `${account()}/tokens/permission_groups`)).result.slice(0, 1);

for (const { what, table, most, there = 0, row, call } of [
  {
    what: "zones",
    table: "zones",
    most: 1_000,
    there: 1,
    row: (i: number) => ({ ...named(i), name: `z${i}.example` }),
    call: (i: number) => control.call("POST", "/zones", { name: `more${i}.example` }),
  },
  {
    what: "routes and custom domains",
    table: "routes",
    most: 2_000,
    row: (i: number) => ({
      id: `filled-${i}`,
      scriptId,
      kind: i % 2 === 0 ? "route" : "custom_domain",
      pattern: `r${i}.first.example`,
    }),
    call: (i: number) => {
      const body = { pattern: `more${i}.first.example/*`, script: "first" };
      return control.call("POST", `/zones/${zoneId}/workers/routes`, body);
    },
  },
  {
    what: "hosts with rules for clients",
    table: "hostClients",
    most: 1_000,
    row: (i: number) => ({ host: `c${i}.first.example`, mode: "optional", forward: 0 }),
    call: (i: number) => {
      const path = `${account()}/countersign/hosts/more${i}.first.example/clients`;
      return control.call("PUT", path, { mode: "required" });
    },
  },
  {
    what: "hosts with an origin",
    table: "hostOrigins",
    most: 1_000,
    row: (i: number) => ({
      id: `filled-${i}`,
      host: `o${i}.first.example`,
      toHost: "origin.example",
      toPort: 443,
      certificateId: certificate,
      createdOn: now,
      modifiedOn: now,
    }),
    call: (i: number) => {
      const path = `${account()}/countersign/hosts/origin${i}.first.example/origin`;
      return control.call("PUT", path, { to: "https://origin.example", certificate });
    },
  },
  {
    what: "policies of Access",
    table: "accessPolicies",
    most: 1_000,
    row: (i: number) => ({
      ...named(i),
      applicationId: null,
      decision: "deny",
      rules: JSON.stringify({ include: [{ everyone: {} }], require: [], exclude: [] }),
      updatedOn: now,
    }),
    call: (i: number) => {
      const body = { name: `p${i}`, decision: "deny", include: [{ everyone: {} }] };
      return control.call("POST", `${account()}/access/policies`, body);
    },
  },
  {
    what: "Workers",
    table: "scripts",
    most: 5_000,
    there: 1,
    row: (i: number) => ({
      ...named(i),
      workersDev: 0,
      previews: 0,
      settings: "{}",
      modifiedOn: now,
    }),
    call: (i: number) => control.call("PUT", `${account()}/workers/scripts/more${i}`, scriptForm()),
  },
  {
    what: "API tokens",
    table: "tokens",
    most: 1_000,
    there: 1,
    row: (i: number) => ({
      ...named(i),
      userId: null,
      email: "test@localhost",
      hash: `${i}`,
      scopes: "[]",
      policies: null,
      modifiedOn: now,
      disabled: 0,
    }),
    call: async () => {
      const resources = { [`com.cloudflare.api.account.${control.accountId}`]: "*" };
      const policies = [{ effect: "allow", permission_groups: await groups(), resources }];
      return control.call("POST", `${account()}/tokens`, { name: "more", policies });
    },
  },
]) {
  test(`an account has ${most} ${what}, and is refused one more`, async () => {
    await fillTable(control, table, most - 1 - there, row);
    const last = await call(1);
    assert.ok(last.success, JSON.stringify(last.errors));
    const more = await call(2);
    assert.equal(more.status, 400);
    assert.equal(more.errors[0]!.meta?.["failure"], "account_full", JSON.stringify(more.errors));
    assert.match(more.errors[0]!.message, new RegExp(`more than ${most} ${what}`));
  });
}

for (const { kind, most, what, path, body } of [
  {
    kind: "kv",
    most: 1_000,
    what: "KV namespaces",
    path: "storage/kv/namespaces",
    body: (n: string) => ({ title: n }),
  },
  {
    kind: "d1",
    most: 10_000,
    what: "D1 databases",
    path: "d1/database",
    body: (n: string) => ({ name: n }),
  },
  {
    kind: "r2",
    most: 10_000,
    what: "R2 buckets",
    path: "r2/buckets",
    body: (n: string) => ({ name: n }),
  },
  {
    kind: "queue",
    most: 1_000,
    what: "queues",
    path: "queues",
    body: (n: string) => ({ queue_name: n }),
  },
]) {
  test(`an account has ${most} ${what}, and is refused one more`, async () => {
    await fillTable(control, "resources", most, (i) => ({
      ...named(i),
      id: `filled-${kind}-${i}`,
      kind,
      settings: "{}",
      modifiedOn: now,
    }));
    const more = await control.call("POST", `${account()}/${path}`, body("more"));
    assert.equal(more.status, 400);
    assert.equal(more.errors[0]!.meta?.["failure"], "account_full", JSON.stringify(more.errors));
    assert.match(more.errors[0]!.message, new RegExp(`more than ${most} ${what}`));
  });
}

const secret = (text: string) => ({ type: "secret_text", text });

test("secrets of a version are refused before its process cannot take them", async () => {
  const path = `${account()}/workers/scripts/first/secrets-bulk`;
  const long = await control.call("PATCH", path, { secrets: { LONG: secret("ä".repeat(65_000)) } });
  assert.equal(long.status, 400);
  assert.match(long.errors[0]!.message, /"secrets.LONG.text" Too big: .*128000 characters/);
  const some = (from: number) =>
    Object.fromEntries(
      Array.from({ length: 9 }, (_, i) => [`S${from + i}`, secret("x".repeat(100_000))]),
    );
  const first = await control.call("PATCH", path, { secrets: some(0) });
  assert.ok(first.success, JSON.stringify(first.errors));
  const more = await control.call("PATCH", path, { secrets: some(10) });
  assert.equal(more.errors[0]!.meta?.["failure"], "secrets_too_large", JSON.stringify(more.errors));
  assert.match(more.errors[0]!.message, /more than 1572864/);
});

test("client certificates are shown by pages, and an account has 10,000 of them", async () => {
  const path = `/zones/${zoneId}/client_certificates`;
  const issue = async () => control.call("POST", path, { csr, validity_days: 1 });
  const first = (await issue()).result;
  const { authorityId } = await control.store.db
    .selectFrom("clientCertificates")
    .select("authorityId")
    .executeTakeFirstOrThrow();
  await fillTable(control, "clientCertificates", 9_998, (i) => ({
    id: `filled-${i}`,
    zoneId,
    authorityId,
    csr: first.csr,
    certificate: first.certificate,
    serial: `${i}`,
    fingerprint: `${i}`,
    validityDays: 1,
    issuedOn: "2020-01-01T00:00:00.000Z",
    notAfter: now,
    revokedOn: i < 60 ? now : null,
  }));
  assert.ok((await issue()).success);
  assert.equal((await issue()).errors[0]!.meta?.["failure"], "account_full");
  const page = async (query: string): Promise<[number, number]> => {
    const { result, result_info: info } = (await control.call("GET", path + query)) as unknown as {
      result: readonly unknown[];
      result_info: { total_count: number };
    };
    return [result.length, info.total_count];
  };
  assert.deepEqual(await page(""), [50, 10_000]);
  assert.deepEqual(await page("?status=revoked&per_page=40&page=2"), [20, 60]);
  assert.deepEqual(await page("?status=pending_revocation"), [0, 0]);
  const one = await control.call("GET", `${path}/${first.id}`);
  assert.equal(one.result.id, first.id);
});

test("policies of a token that are longer than 64 KiB are refused", async () => {
  const names = Array.from(
    { length: 500 },
    (_, i) => `com.cloudflare.api.user.${i}${"x".repeat(150)}`,
  );
  const resources = Object.fromEntries(names.map((name) => [name, "*"]));
  const policies = [{ effect: "allow", permission_groups: await groups(), resources }];
  const refused = await control.call("POST", `${account()}/tokens`, { name: "long", policies });
  assert.match(refused.errors[0]!.message, /are longer than 64 KiB/);
});

test("of the tokens that were revoked, the last thousand are kept", async () => {
  const earlier = "2020-01-01T00:00:00.000Z";
  const { db } = control.store;
  await control.store.housekeep(({ db: write }) =>
    write
      .updateTable("tokens")
      .set({ revokedOn: earlier })
      .where("id", "like", "filled-%")
      .execute(),
  );
  await fillTable(control, "tokens", 500, (i) => ({
    ...named(i),
    id: `later-${i}`,
    userId: null,
    email: "test@localhost",
    hash: `later-${i}`,
    scopes: "[]",
    policies: null,
    modifiedOn: now,
    disabled: 0,
    revokedOn: now,
  }));
  const resources = { [`com.cloudflare.api.account.${control.accountId}`]: "*" };
  const policies = [{ effect: "allow", permission_groups: await groups(), resources }];
  const made = await control.call("POST", `${account()}/tokens`, { name: "new", policies });
  assert.ok(made.success, JSON.stringify(made.errors));
  const rows = await db
    .selectFrom("tokens")
    .selectAll()
    .where("revokedOn", "is not", null)
    .execute();
  assert.equal(rows.length, 1_000);
  assert.equal(rows.filter(({ revokedOn }) => revokedOn === now).length, 500);
});
