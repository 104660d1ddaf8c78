import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import Cloudflare, { toFile } from "cloudflare";
import { storeSource } from "../src/store/change-feed.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";

describe("what Terraform and the SDK read, change and page through", () => {
  let control: TestControl;
  let client: Cloudflare;
  let account: { account_id: string };
  before(async () => {
    control = await startControl();
    client = new Cloudflare({ apiToken: control.token, baseURL: control.api, maxRetries: 0 });
    account = { account_id: control.accountId };
  });
  after(() => control[Symbol.asyncDispose]());

  const scripts = "/accounts/{account}/workers/scripts";
  const put = async (name: string, metadata: object = {}): Promise<void> => {
    const answer = await control.call("PUT", `${scripts}/${name}`, scriptForm(metadata));
    assert.equal(answer.status, 200, JSON.stringify(answer.errors));
  };
  const running = async (scriptName: string) => {
    const source = storeSource(control.store);
    const live = await source.deployment({ accountId: control.accountId, scriptName });
    return live?.versions[0]?.version;
  };

  const upload = async (source: string) =>
    client.workers.scripts.content.update("content", {
      ...account,
      metadata: { main_module: "new.mjs" },
      files: [
        await toFile(Buffer.from(source), "new.mjs", { type: "application/javascript+module" }),
      ],
    });

  it("settings change with PATCH: what is not named stays, and a version is made of it", async () => {
    const bindings = [
      { type: "plain_text", name: "A", text: "1" },
      { type: "secret_text", name: "S", text: "s" },
    ];
    await put("patched", { bindings, limits: { cpu_ms: 20 } });
    const { scriptAndVersionSettings: sdk } = client.workers.scripts;
    const dated = await sdk.edit("patched", {
      ...account,
      settings: { compatibility_date: "2026-02-02", logpush: false },
    });
    assert.equal(dated.compatibility_date, "2026-02-02");
    assert.deepEqual(
      dated.bindings?.map(({ name }) => name),
      ["A", "S"],
    );
    await sdk.edit("patched", {
      ...account,
      settings: {
        bindings: [
          { type: "inherit", name: "S" },
          { type: "plain_text", name: "B", text: "2" },
        ],
        limits: { cpu_ms: 30 },
      },
    });
    const version = await running("patched");
    assert.deepEqual(
      version?.bindings.map(({ name }) => name),
      ["S", "B"],
    );
    assert.deepEqual(version.limits, { cpuMs: 30 });
    assert.equal(version.compatibilityDate, "2026-02-02");
  });

  it("content is replaced on its own, and a module without a handler is refused", async () => {
    await put("content", { bindings: [{ type: "plain_text", name: "A", text: "1" }] });
    const changed = await upload("export default { scheduled() {} }");
    assert.deepEqual(changed.handlers, ["scheduled"]);
    const version = await running("content");
    assert.equal(version?.mainModule, "new.mjs");
    assert.equal(version.bindings.length, 1);
    await assert.rejects(upload("export default {}"), { status: 400 });
    assert.equal((await running("content"))?.versionId, version.versionId);
  });

  it("a Worker is made without a version, then gets versions, by its id", async () => {
    const { workers } = client.workers.beta;
    const made = await workers.create({ ...account, name: "made", tags: ["t"] });
    assert.equal(await running("made"), undefined);
    await assert.rejects(workers.create({ ...account, name: "made" }), { status: 409 });
    const version = await workers.versions.create(made.id, {
      ...account,
      main_module: "index.js",
      compatibility_date: "2026-01-01",
      bindings: [{ type: "plain_text", name: "A", text: "1" }],
      modules: [
        {
          name: "index.js",
          content_type: "application/javascript+module",
          content_base64: Buffer.from("export default { fetch() {} }").toString("base64"),
        },
      ],
    });
    assert.equal(version.number, 1);
    assert.equal(await running("made"), undefined);
    await client.workers.scripts.deployments.create("made", {
      ...account,
      strategy: "percentage",
      versions: [{ version_id: version.id, percentage: 100 }],
    });
    assert.equal((await running("made"))?.versionId, version.id);
    const edited = await workers.edit(made.id, {
      ...account,
      subdomain: { enabled: true },
    } as never);
    assert.equal(edited.subdomain.enabled, true);
    assert.deepEqual(edited.tags, ["t"]);
    await workers.delete(made.id, account);
    await assert.rejects(workers.get(made.id, account), { status: 404 });
  });

  it("a domain and a route are made, read, changed and deleted one by one", async () => {
    await put("hosts");
    await put("other");
    const domain = await client.workers.domains.update({
      ...account,
      hostname: "Shop.example.test",
      service: "hosts",
    });
    assert.equal((await client.workers.domains.get(domain.id, account)).service, "hosts");
    const moved = await client.workers.domains.update({
      ...account,
      hostname: "shop.example.test",
      service: "other",
    });
    const listed = await client.workers.domains.list({ ...account, hostname: "shop.example.test" });
    assert.deepEqual(
      listed.result.map(({ service }) => service),
      ["other"],
    );
    const none = await client.workers.domains.list({ ...account, hostname: "no.example.test" });
    assert.deepEqual(none.result, []);
    await client.workers.domains.delete(moved.id, account);
    await assert.rejects(client.workers.domains.get(moved.id, account), { status: 404 });

    const zone = { zone_id: domain.zone_id };
    const route = await client.workers.routes.create({
      ...zone,
      pattern: "example.test/a/*",
      script: "hosts",
    });
    await client.workers.routes.update(route.id, {
      ...zone,
      pattern: "example.test/b/*",
      script: "other",
    });
    const read = await client.workers.routes.get(route.id, zone);
    assert.deepEqual([read.id, read.pattern, read.script], [route.id, "example.test/b/*", "other"]);
    await assert.rejects(
      client.workers.routes.create({ ...zone, pattern: "other.test/*", script: "hosts" }),
      /other.test.* is not in the zone/,
    );
    await client.workers.routes.delete(route.id, zone);
    await assert.rejects(client.workers.routes.get(route.id, zone), { status: 404 });
  });

  it("every list honours page and per_page, and without them has all", async () => {
    await Promise.all(["p1", "p2", "p3"].map((name) => put(name)));
    const account_ = "/accounts/{account}";
    const lists = [
      "/accounts",
      "/memberships",
      "/user/tokens",
      "/user/tokens/permission_groups",
      "/zones",
      `${account_}/mtls_certificates`,
      `${account_}/workers/scripts`,
      `${account_}/workers/workers`,
      `${account_}/workers/domains`,
    ];
    for (const path of lists) {
      const all = (await control.call("GET", path)).result as unknown[];
      const paged: unknown[] = [];
      for (let page = 1; ; page++) {
        const answer = await control.call("GET", `${path}?per_page=2&page=${page}`);
        if (answer.result.length === 0) break;
        assert.ok(answer.result.length <= 2);
        paged.push(...answer.result);
      }
      assert.deepEqual(paged, all, path);
      const wrong = await control.call("GET", `${path}?page=abc`);
      assert.equal(wrong.status, 400, path);
    }
    const zones: unknown[] = [];
    for await (const zone of client.zones.list()) zones.push(zone);
    assert.ok(zones.length < 10);
  });

  it("filters leave out what they do not name", async () => {
    const { permissionGroups } = client.user.tokens;
    const named = await permissionGroups.list({ name: "Workers Scripts Read" });
    assert.deepEqual(
      named.result.map(({ name }) => name),
      ["Workers Scripts Read"],
    );
    const twice = await permissionGroups.list({ name: "Workers%20Scripts%20Read" });
    assert.equal(twice.result.length, 1);
    const accounts = await client.accounts.list({ name: "nobody" });
    assert.deepEqual(accounts.result, []);
  });

  it("a token that may do one thing is told which account it is for", async () => {
    const policies = [
      {
        effect: "allow",
        permission_groups: [{ id: "a7a233f9604845c787d4c8c39ac09c21" }],
        resources: { [`com.cloudflare.api.account.${control.accountId}`]: "*" },
      },
    ];
    const made = await control.call("POST", "/user/tokens", { name: "narrow", policies });
    assert.equal(made.status, 200, JSON.stringify(made.errors));
    const narrow = new Cloudflare({ apiToken: made.result.value, baseURL: control.api });
    const accounts = await narrow.accounts.list();
    assert.deepEqual(
      accounts.result.map(({ id }) => id),
      [control.accountId],
    );
    await assert.rejects(narrow.workers.scripts.list(account), /workers_scripts:read/);
  });

  it("what a plan of Terraform reads is what its configuration said", async () => {
    const zone = await client.zones.create({
      account: { id: control.accountId },
      name: "planned.test",
    });
    const { pem: certificate } = await makeAuthority("Planned CA");
    const ca = await client.mtlsCertificates.create({
      ...account,
      ca: true,
      certificates: certificate,
    });
    const associated = { zone_id: zone.id, mtls_certificate_id: ca.id! };
    const { hostnameAssociations } = client.certificateAuthorities;
    const hostnames = ["z.planned.test", "a.planned.test", "m.planned.test"];
    await hostnameAssociations.update({ ...associated, hostnames });
    // An account that changes what one of them requires of its clients does not change their order.
    const own = `/accounts/{account}/countersign/hosts/a.planned.test/clients`;
    await control.call("PUT", own, { mode: "required" });
    assert.deepEqual((await hostnameAssociations.get(associated)).hostnames, hostnames);

    const { policies, certificates } = client.zeroTrust.access;
    const rules = { name: "p", decision: "non_identity" as const, include: [{ everyone: {} }] };
    const policy = await policies.create({ ...account, ...rules });
    assert.equal(policy.session_duration, "24h");
    await policies.update(policy.id!, { ...account, ...rules, session_duration: "30m" });
    assert.equal((await policies.get(policy.id!, account)).session_duration, "30m");

    const hosts = { associated_hostnames: ["admin.planned.test"] };
    const trusted = await certificates.create({ ...account, name: "ca", certificate, ...hosts });
    // The provider deletes a CA in two steps, and the first one sends an empty body.
    await control.call("PUT", `/accounts/{account}/access/certificates/${trusted.id}`, {});
    assert.deepEqual((await certificates.get(trusted.id!, account)).associated_hostnames, []);
    await certificates.delete(trusted.id!, account);
  });

  it("each operation of the document has a name of its own, a tag, and named schemas", async () => {
    const document = (await (await fetch(`${control.api}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, Documented>>;
      components: { schemas: Record<string, unknown> };
    };
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    const ids = operations.map(({ operationId }) => operationId);
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(ids.every((id) => /^[a-z][a-zA-Z0-9]+$/.test(id)));
    assert.ok(operations.every(({ tags }) => tags.length === 1));
    for (const name of ["Envelope", "Refusal", "Problem", "Message", "Pages"]) {
      assert.ok(document.components.schemas[name], name);
    }
    const plain = operations.filter(({ responses }) => {
      const schema = responses["200"].content["application/json"]?.schema;
      return schema && !("allOf" in schema);
    });
    assert.ok(plain.length < 12, `no results: ${plain.map((one) => one.operationId).join(", ")}`);
  });
});

interface Documented {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly responses: {
    readonly "200": { readonly content: Record<string, { readonly schema: object } | undefined> };
  };
}
