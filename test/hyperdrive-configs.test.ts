import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import Cloudflare from "cloudflare";
import { databasePasswordPlace } from "../src/keys/places.ts";
import { storeSource } from "../src/store/change-feed.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const PATH = "/accounts/{account}/hyperdrive/configs";
const ORIGIN = {
  scheme: "postgres" as const,
  host: "db.example.com",
  port: 5432,
  database: "orders",
  user: "app",
  password: "s3cret-word",
};

describe("Hyperdrive configurations", () => {
  let control: TestControl;
  let project: WranglerProject;
  let certificate: string;
  let ca: string;
  const wrangler = async (...args: string[]): Promise<string> => {
    const run = await project.run(["hyperdrive", ...args]);
    assert.equal(run.exitCode, 0, run.output);
    return run.stdout;
  };
  before(async () => {
    control = await startControl();
    const authority = await makeAuthority();
    const { pem, key } = await authority.issue({ subject: "CN=client" });
    const files = { "cert.pem": pem, "key.pem": key, "ca.pem": authority.pem };
    project = await wranglerProject({ ...control, accountId: control.accountId }, files);
    const cert = ["cert", "upload"];
    const [leaf, root] = await Promise.all([
      project.run([...cert, ..."mtls-certificate --cert cert.pem --key key.pem".split(" ")]),
      project.run([...cert, ..."certificate-authority --ca-cert ca.pem --name db".split(" ")]),
    ]);
    certificate = /[0-9a-f-]{36}/.exec(leaf.stdout)?.[0] ?? assert.fail(leaf.output);
    ca = /[0-9a-f-]{36}/.exec(root.stdout)?.[0] ?? assert.fail(root.output);
  });
  after(async () => {
    await project[Symbol.asyncDispose]();
    await control[Symbol.asyncDispose]();
  });

  it("an unmodified wrangler makes, lists, shows, changes and deletes one", async () => {
    const created = await wrangler(
      "create",
      "orders",
      "--connection-string",
      "postgres://app:s3cret-word@DB.example.com/orders",
      "--mtls-certificate-id",
      certificate,
      "--ca-certificate-id",
      ca,
      "--sslmode",
      "verify-full",
      "--origin-connection-limit",
      "20",
    );
    const id = /PostgreSQL config: ([0-9a-f]{32})/.exec(created)?.[1] ?? assert.fail(created);
    const [listed, shown] = await Promise.all([wrangler("list"), wrangler("get", id)]);
    assert.match(listed, new RegExp(`${id} .*orders.*app.*db\\.example\\.com.*5432.*disabled`));
    const config = JSON.parse(shown.slice(shown.indexOf("{"))) as Record<string, unknown>;
    assert.deepEqual(config["origin"], {
      scheme: "postgres",
      host: "db.example.com",
      port: 5432,
      database: "orders",
      user: "app",
    });
    assert.deepEqual(config["mtls"], {
      ca_certificate_id: ca,
      mtls_certificate_id: certificate,
      sslmode: "verify-full",
    });
    assert.deepEqual(config["caching"], { disabled: true });
    assert.equal(config["origin_connection_limit"], 20);
    const changed = await wrangler(
      "update",
      id,
      "--origin-password",
      "an0ther",
      "--sslmode",
      "verify-ca",
      "--caching-disabled",
    );
    assert.match(changed, /"sslmode": "verify-ca"/);
    const source = storeSource(control.store);
    const stored = await source.database(control.accountId, id);
    assert.equal(stored?.verifyName, false);
    assert.equal(stored?.authorities?.length, 1);
    const place = databasePasswordPlace(control.accountId, id);
    assert.equal(control.keyring.unseal(place, stored.sealedPassword), "an0ther");
    // Certificates and CAs in use cannot be deleted.
    for (const used of [certificate, ca]) {
      const refused = await control.call("DELETE", `/accounts/{account}/mtls_certificates/${used}`);
      assert.equal(refused.errors[0]?.meta?.["failure"], "certificate_in_use");
      const bound = await control.call(
        "GET",
        `/accounts/{account}/mtls_certificates/${used}/associations`,
      );
      assert.deepEqual(bound.result, [{ service: "hyperdrive orders", status: "active" }]);
    }
    for (const text of [created, listed, shown, changed, ...control.log]) {
      assert.doesNotMatch(text, /s3cret-word|an0ther/);
    }
    await wrangler("delete", id);
    assert.equal((await control.call("GET", `${PATH}/${id}`)).status, 404);
    assert.equal(await source.database(control.accountId, id), null);
  });

  it("the SDK drives it: POST, GET, list, PUT, PATCH, DELETE", async () => {
    const client = new Cloudflare({ apiToken: control.token, baseURL: control.api, maxRetries: 0 });
    const { configs } = client.hyperdrive;
    const account = { account_id: control.accountId };
    const origin = { ...ORIGIN, scheme: "mysql" as const, port: 3306 };
    const made = await configs.create({
      ...account,
      name: "sdk",
      origin,
      mtls: { mtls_certificate_id: certificate },
    });
    assert.equal(made.mtls?.sslmode, "REQUIRED");
    assert.equal(made.origin_connection_limit, 60);
    const edited = await configs.edit(made.id, { ...account, mtls: { ca_certificate_id: ca } });
    // A default mode depends on whether there is a CA.
    assert.equal(edited.mtls?.sslmode, "VERIFY_IDENTITY");
    const put = await configs.update(made.id, { ...account, name: "sdk-2", origin: ORIGIN });
    assert.deepEqual(put.mtls, {
      ca_certificate_id: ca,
      mtls_certificate_id: certificate,
      sslmode: "verify-full",
    });
    const names: string[] = [];
    for await (const { name } of configs.list(account)) names.push(name);
    assert.deepEqual(names, ["sdk-2"]);
    assert.equal((await configs.get(made.id, account)).name, "sdk-2");
    await configs.delete(made.id, account);
  });

  it("names are unique, and what is bound is not deleted", async () => {
    const made = await control.call("POST", PATH, { name: "bound", origin: ORIGIN });
    assert.match(made.messages[0]?.message ?? "", /not cached/);
    const { id } = made.result;
    const again = await control.call("POST", PATH, { name: "bound", origin: ORIGIN });
    assert.equal(again.errors[0]?.meta?.["failure"], "hyperdrive_name_taken");
    const bindings = [{ type: "hyperdrive", name: "DB", id }];
    const script = "/accounts/{account}/workers/scripts/with-database";
    const put = await control.call("PUT", script, scriptForm({ bindings }));
    assert.equal(put.status, 200, JSON.stringify(put.errors));
    const refused = await control.call("DELETE", `${PATH}/${id}`);
    assert.equal(refused.errors[0]?.meta?.["failure"], "hyperdrive_in_use");
    assert.match(refused.errors[0]?.message ?? "", /"with-database"/);
    const settings = await control.call("GET", `${script}/settings`);
    assert.deepEqual(settings.result.bindings, bindings);
    await control.call("DELETE", script);
    assert.equal((await control.call("DELETE", `${PATH}/${id}`)).status, 200);
    const unknown = await control.call("PUT", script, scriptForm({ bindings }));
    assert.equal(unknown.errors[0]?.meta?.["failure"], "binding_hyperdrive_unknown");
  });

  it("what does not go together is refused by name", async () => {
    const refused = async (change: object): Promise<unknown> => {
      const answer = await control.call("POST", PATH, {
        name: "refused",
        origin: ORIGIN,
        ...change,
      });
      return answer.errors[0]?.meta?.["failure"];
    };
    assert.equal(await refused({ mtls: { sslmode: "REQUIRED" } }), "hyperdrive_tls_invalid");
    assert.equal(await refused({ mtls: { sslmode: "verify-ca" } }), "hyperdrive_tls_invalid");
    assert.equal(
      await refused({ mtls: { sslmode: "require", ca_certificate_id: ca } }),
      "hyperdrive_tls_invalid",
    );
    assert.equal(
      await refused({ mtls: { ca_certificate_id: certificate } }),
      "certificate_kind_differs",
    );
    assert.equal(await refused({ mtls: { mtls_certificate_id: ca } }), "certificate_kind_differs");
    assert.equal(await refused({ mtls: { mtls_certificate_id: "none" } }), "certificate_not_found");
    assert.equal(
      await refused({ origin: { ...ORIGIN, service_id: "x" } }),
      "hyperdrive_origin_unsupported",
    );
    assert.equal(await refused({ origin: { ...ORIGIN, host: "db/path" } }), "request_invalid");
    assert.equal(await refused({ origin: { ...ORIGIN, port: 70_000 } }), "request_invalid");
    assert.equal(await refused({ origin: { ...ORIGIN, password: undefined } }), "request_invalid");
  });
});
