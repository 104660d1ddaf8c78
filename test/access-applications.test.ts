import assert from "node:assert/strict";
import { once } from "node:events";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import Cloudflare from "cloudflare";
import { build, type BuildOptions } from "esbuild";
import type { JWTPayload } from "jose";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

/** Verifies an assertion in a Worker as Cloudflare's documentation shows. */
const WORKER = `
import { createRemoteJWKSet, jwtVerify } from "jose";
export default {
  async fetch(request, env) {
    const target = request.headers.get("x-fetch");
    if (target !== null) {
      return Response.json(await fetch(target).then((r) => r.status, () => "refused"));
    }
    const token = request.headers.get("cf-access-jwt-assertion");
    const seen = [...request.headers.keys()].filter((name) => name.startsWith("cf-access-"));
    if (token === null) return Response.json({ seen, payload: null });
    const { origin } = new URL(request.url);
    const keys = createRemoteJWKSet(new URL(origin + "/cdn-cgi/access/certs"));
    const { payload } = await jwtVerify(token, keys, {
      issuer: origin,
      audience: request.headers.get("x-audience"),
    });
    return Response.json({ seen, payload });
  },
};`;

let platform: TestPlatform;
let sdk: Cloudflare;
let account: { account_id: string };

before(async () => {
  platform = await startPlatform({ args: ["--dev", "--fetch-allow", "public", "127.0.0.2/32"] });
  const { api, token, accountId } = platform.ready;
  sdk = new Cloudflare({ apiToken: token, baseURL: api, maxRetries: 0 });
  account = { account_id: accountId };
  await deploy("app", { stdin: { contents: WORKER, resolveDir: import.meta.dirname } });
});

async function deploy(
  name: string,
  entry: BuildOptions,
  bindings: readonly object[] = [],
): Promise<void> {
  const { outputFiles } = await build({
    ...entry,
    bundle: true,
    format: "esm",
    write: false,
    conditions: ["workerd", "worker"],
  });
  const form = new FormData();
  const metadata = { main_module: "index.js", compatibility_date: "2026-11-01", bindings };
  form.set("metadata", JSON.stringify(metadata));
  const type = "application/javascript+module";
  form.set("index.js", new File([outputFiles[0]!.text], "index.js", { type }));
  const path = `/accounts/{account}/workers/scripts/${name}`;
  const { status, json } = await platform.api("PUT", path, form);
  assert.equal(status, 200, JSON.stringify(json));
}
const folders: string[] = [];
after(async () => {
  await platform[Symbol.asyncDispose]();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly json: any;
}

function ask(
  path: string,
  headers: Record<string, string> = {},
  host = "app.localhost",
): Promise<Answer> {
  const { port } = new URL(platform.ready.http);
  return new Promise((resolve, reject) => {
    const options = {
      host: "127.0.0.1",
      port,
      path,
      agent: false,
      headers: { host: `${host}:${port}`, accept: "application/json", ...headers },
    };
    request(options, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, json: parsed(text) }));
    })
      .on("error", reject)
      .end();
  });
}

function parsed(text: string): unknown {
  return /^[{[\d"]/.test(text) ? (JSON.parse(text) as unknown) : text;
}

function presenting(token: { client_id?: string; client_secret?: string }): Record<string, string> {
  return {
    "CF-Access-Client-Id": token.client_id ?? "",
    "CF-Access-Client-Secret": token.client_secret ?? "",
  };
}

test("a Worker behind a service token, set by Cloudflare's SDK: let in with an assertion that jose verifies, until it is revoked", async () => {
  const { access } = sdk.zeroTrust;
  const token = await access.serviceTokens.create({ ...account, name: "robot", duration: "1h" });
  assert.match(token.client_id ?? "", /^[0-9a-f]{32}\.access$/);
  assert.match(token.client_secret ?? "", /^[0-9a-f]{64}$/);
  const policy = await access.policies.create({
    ...account,
    name: "robots",
    decision: "non_identity",
    include: [{ service_token: { token_id: token.id! } }],
  });
  const app = (await access.applications.create({
    ...account,
    type: "self_hosted",
    name: "app",
    domain: "app.localhost/api",
    policies: [{ id: policy.id!, precedence: 1 }],
  })) as { id: string; aud: string };
  assert.match(app.aud, /^[0-9a-f]{64}$/);

  assert.equal((await ask("/open")).status, 200);
  for (const path of ["/api", "/api/x", "//api", "/%61pi", "/open/..%2fapi"]) {
    const refused = await ask(path);
    assert.equal(refused.status, 403, path);
    assert.equal(refused.json.error.code, "access_denied");
  }
  const verifying = { "x-audience": app.aud };
  const letIn = await ask("/api/x", { ...presenting(token), ...verifying });
  assert.equal(letIn.status, 200, JSON.stringify(letIn.json));
  assert.deepEqual(letIn.json.seen, ["cf-access-jwt-assertion"]);
  const { payload } = letIn.json as { payload: JWTPayload };
  assert.equal(payload["common_name"], token.client_id);
  assert.equal(payload.aud, app.aud);
  assert.equal(payload["type"], "app");

  const forged = await ask("/open", { "Cf-Access-Jwt-Assertion": "forged", ...presenting(token) });
  assert.deepEqual(forged.json, { seen: [], payload: null });

  const first = presenting(token);
  const rotated = await access.serviceTokens.rotate(token.id!, {
    ...account,
    previous_client_secret_expires_at: new Date(Date.now() + 60_000).toISOString(),
  });
  assert.equal((await ask("/api", { ...first, ...verifying })).status, 200);
  assert.equal((await ask("/api", { ...presenting(rotated), ...verifying })).status, 200);
  const again = await access.serviceTokens.rotate(token.id!, account);
  assert.equal((await ask("/api", { ...presenting(rotated), ...verifying })).status, 403);

  // Old keys stay published, so that assertions they signed can be verified.
  await access.keys.rotate(account);
  const both = (await ask("/cdn-cgi/access/certs")).json;
  assert.equal(both.keys.length, 2);
  const longer = await access.keys.update({ ...account, key_rotation_interval_days: 365 });
  assert.deepEqual(
    [longer.key_rotation_interval_days, longer.days_until_next_rotation],
    [365, 365],
  );
  assert.deepEqual(await access.keys.get(account), longer);
  for (const days of [20, 366, 30.5]) {
    const refused = access.keys.update({ ...account, key_rotation_interval_days: days });
    await assert.rejects(refused, { status: 400 });
  }
  assert.equal((await ask("/cdn-cgi/access/certs")).json.keys.length, 2);
  assert.equal((await ask("/api", { ...presenting(again), ...verifying })).status, 200);

  await access.serviceTokens.delete(token.id!, account);
  const revoked = await ask("/api", { ...presenting(again), ...verifying });
  assert.equal(revoked.status, 403);

  const wrong = await ask("/api", presenting({ client_id: "nobody.access", client_secret: "x" }));
  assert.deepEqual({ ...wrong.json.error, ray: "" }, { ...revoked.json.error, ray: "" });

  await assert.rejects(access.policies.delete(policy.id!, account), /still|uses the policy/);
  await access.applications.delete(app.id, account);
  assert.equal((await ask("/api")).status, 200);
  await access.policies.delete(policy.id!, account);
});

test("a Worker that fetches the keys reaches the world as any other, and the platform's ports no more", async () => {
  const world = createServer((_, response) => response.writeHead(418).end());
  world.listen(0, "127.0.0.2");
  await once(world, "listening");
  after(() => world.close());
  const at = `127.0.0.2:${(world.address() as AddressInfo).port}`;
  assert.equal((await ask("/", { "x-fetch": `http://${at}/cdn-cgi/access/certs` })).json, 418);
  const { host } = new URL(platform.ready.http);
  for (const way of [`http://${host}/`, `http://${host}/cdn-cgi/access/certs`]) {
    assert.equal((await ask("/", { "x-fetch": way })).json, "refused", way);
  }
});

test("the example answers to a service token, and to nobody else", async () => {
  const { access } = sdk.zeroTrust;
  const token = await access.serviceTokens.create({ ...account, name: "nightly" });
  const app = (await access.applications.create({
    ...account,
    type: "self_hosted",
    name: "orders",
    domain: "orders.localhost",
    policies: [
      {
        name: "nightly",
        decision: "non_identity",
        include: [{ service_token: { token_id: token.id! } }],
      },
    ],
  } as never)) as unknown as { aud: string };
  const example = join(import.meta.dirname, "../examples/service-token/src/index.js");
  const aud = { type: "plain_text", name: "POLICY_AUD", text: app.aud };
  await deploy("orders", { entryPoints: [example] }, [aud]);
  const { status, json } = await ask("/", presenting(token), "orders.localhost");
  assert.deepEqual([status, json], [200, `hello ${token.client_id}\n`]);
  assert.equal((await ask("/", {}, "orders.localhost")).status, 403);
});

test("what needs a person's login is refused by its name, and so is what would do nothing", async () => {
  const { access } = sdk.zeroTrust;
  const base = { ...account, name: "x" };
  await assert.rejects(
    access.policies.create({ ...base, decision: "allow", include: [{ everyone: {} }] }),
    /allow\W+lets in people who signed in/,
  );
  await assert.rejects(
    access.policies.create({
      ...base,
      decision: "non_identity",
      include: [{ email: { email: "a@example.com" } }],
    }),
    /the rule \W+email\W+is about people who sign in/,
  );
  await assert.rejects(
    access.policies.create({
      ...base,
      decision: "non_identity",
      include: [{ geo: { country_code: "CH" } }],
    }),
    /does not have the rule \W+geo/,
  );
  const app = { ...base, type: "self_hosted", domain: "x.example" } as const;
  await assert.rejects(
    access.applications.create({ ...app, options_preflight_bypass: true }),
    /does not have \W+options_preflight_bypass/,
  );
  await assert.rejects(
    access.applications.create({ ...app, domain: "x.example/a/*/b" }),
    /within its path/,
  );
  const whole = { ...account, name: "tok", duration: "never" };
  await assert.rejects(access.serviceTokens.create(whole), /is not a duration/);
});

test("secrets are in no list, no audit entry and not in the database", async () => {
  const { access } = sdk.zeroTrust;
  const token = await access.serviceTokens.create({ ...account, name: "quiet" });
  const shown = await access.serviceTokens.get(token.id!, account);
  assert.equal("client_secret" in shown, false);
  const audit = await platform.api("GET", "/accounts/{account}/audit_logs");
  assert.ok(!JSON.stringify(audit.json).includes(token.client_secret!));
  const listed: string[] = [];
  for await (const one of access.serviceTokens.list(account)) listed.push(JSON.stringify(one));
  assert.ok(listed.some((one) => one.includes(token.id!)));
  assert.ok(!listed.join("").includes(token.client_secret!));
});

test("an application without a policy answers to nobody, also right after a restart", async () => {
  const { access } = sdk.zeroTrust;
  const app = (await access.applications.create({
    ...account,
    type: "self_hosted",
    name: "closed",
    domain: "app.localhost",
  })) as { id: string };
  assert.equal((await ask("/")).status, 403);
  const { dataFolder, ready } = platform;
  const copy = await mkdtemp(join(tmpdir(), "countersign-copy-"));
  await platform.end("SIGTERM");
  await cp(dataFolder, copy, { recursive: true });
  await platform[Symbol.asyncDispose]();
  platform = await startPlatform({ dataFolder: copy, token: ready.token });
  folders.push(copy);
  assert.equal((await ask("/")).status, 403);
  await platform.api("DELETE", `/accounts/{account}/access/apps/${app.id}`);
  assert.equal((await ask("/")).status, 200);
});

async function cli(...args: string[]) {
  const done = await countersign(["access", ...args, "--data", platform.dataFolder]);
  return { ...done, said: done.stdout + done.stderr };
}

test("countersign access makes, lists, rotates and revokes service tokens, and lists applications", async () => {
  const made = await cli("token", "create", "by-hand", "--duration", "24h", "--json");
  assert.equal(made.status, 0, made.said);
  const token = JSON.parse(made.stdout);
  assert.match(token.client_id, /^[0-9a-f]{32}\.access$/);
  const listed = await cli("token", "list");
  assert.match(listed.stdout, /by-hand/);
  assert.ok(!listed.stdout.includes(token.client_secret));
  const rotated = JSON.parse(
    (await cli("token", "rotate", "by-hand", "--overlap", "60", "--json")).stdout,
  );
  assert.equal(rotated.client_id, token.client_id);
  assert.notEqual(rotated.client_secret, token.client_secret);
  assert.ok(Date.parse(rotated.previous_client_secret_expires_at) > Date.now() + 3_000_000);
  assert.match((await cli("token", "rotate", "by-hand", "--overlap", "soon")).said, /--overlap/);
  const plain = await cli("token", "rotate", token.client_id);
  assert.match(plain.stdout, /^CF-Access-Client-Id: .*\nCF-Access-Client-Secret: \S+\n$/);
  assert.match((await cli("token", "revoke", "by-hand")).said, /confirmation_needed/);
  assert.equal((await cli("token", "revoke", "by-hand", "--yes")).status, 0);
  const gone = (await cli("token", "revoke", "by-hand", "--yes")).said;
  assert.match(gone, /`countersign access token list`[^]*access_not_found/);
  const { account_id } = account;
  const application = {
    account_id,
    type: "self_hosted" as const,
    name: "shown",
    domain: "shown.localhost",
  };
  // The platform has moved to another port meanwhile.
  const here = sdk.withOptions({ baseURL: platform.ready.api });
  await here.zeroTrust.access.applications.create(application);
  const applications = await cli("app", "list");
  assert.match(applications.stdout, /shown +shown\.localhost +nobody/);
});
