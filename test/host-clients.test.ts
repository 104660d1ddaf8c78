import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import Cloudflare from "cloudflare";
import { build } from "esbuild";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const ECHO = `export default { fetch: (request) => Response.json(request.cf.tlsClientAuth) };`;
const OUTER = `export default { async fetch(request, env) {
  const answer = await env.ME.fetch(env.URL);
  return new Response(await answer.text(), { status: answer.status });
} };`;
/** Decides as an origin does, with the package for origins. */
const INNER = `
import { authorize } from "countersign-origin/worker";
export default { fetch: authorize({ allow: [{ worker: "outer" }] })(
  (request, env, context, caller) => new Response("hello " + caller.spiffeId)) };`;

let platform: TestPlatform;
let sdk: Cloudflare;
let authority: TestAuthority;
let zone_id: string;
let port = 0;
let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "host-clients-"));
  platform = await startPlatform({
    args: ["--dev", "--https-port", "0", "--local-name", "inner.localhost"],
  });
  const { api, token, https } = platform.ready;
  port = Number(new URL(https!).port);
  sdk = new Cloudflare({ apiToken: token, baseURL: api, maxRetries: 0 });
  authority = await makeAuthority("Partners");
  const [zone] = (await sdk.zones.list({ name: "app.localhost" })).result;
  zone_id = zone!.id;
  await deploy("app", ECHO);
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function deploy(name: string, code: string, bindings: readonly object[] = []): Promise<void> {
  const form = new FormData();
  const metadata = { main_module: "index.js", compatibility_date: "2026-11-01", bindings };
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set("index.js", new File([code], "index.js", { type: "application/javascript+module" }));
  const path = `/accounts/{account}/workers/scripts/${name}`;
  const { status, json } = await platform.api("PUT", path, form);
  assert.equal(status, 200, JSON.stringify(json.errors));
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

function ask(
  host: string,
  pair: { readonly cert: string; readonly key: string } | null,
  agent: Agent | false = false,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    request(
      {
        host: "127.0.0.1",
        port,
        servername: host,
        headers: { host: `${host}:${port}` },
        rejectUnauthorized: false,
        agent,
        ...pair,
      },
      (response) => {
        textOf(response).then((text) => resolve({ status: response.statusCode!, text }), reject);
      },
    )
      .on("error", reject)
      .end();
  });
}

test("Cloudflare's SDK has a hostname ask for the certificates of an uploaded CA", async () => {
  const { accountId } = platform.ready;
  const uploaded = await sdk.mtlsCertificates.create({
    account_id: accountId,
    ca: true,
    certificates: authority.pem,
    name: "partners",
  });
  const set = await sdk.certificateAuthorities.hostnameAssociations.update({
    zone_id,
    hostnames: ["app.localhost"],
    mtls_certificate_id: uploaded.id!,
  });
  assert.deepEqual(set.hostnames, ["app.localhost"]);
  const got = await sdk.certificateAuthorities.hostnameAssociations.get({
    zone_id,
    mtls_certificate_id: uploaded.id!,
  });
  assert.deepEqual(got.hostnames, ["app.localhost"]);
  const leaf = await authority.issue({ subject: "CN=robot" });
  const told = await ask("app.localhost", { cert: leaf.chain, key: leaf.key });
  assert.equal(JSON.parse(told.text).certVerified, "SUCCESS");
  // As on Cloudflare, the Worker decides.
  assert.equal(JSON.parse((await ask("app.localhost", null)).text).certVerified, "NONE");
  await assert.rejects(
    sdk.certificateAuthorities.hostnameAssociations.update({
      zone_id,
      hostnames: ["else.example"],
    }),
    /is not in this zone/,
  );
});

async function cli(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await countersign([...args, "--data", platform.dataFolder]);
  assert.equal(status, 0, stderr);
  return stdout;
}

test("countersign host clients makes a host require them, shows it and takes it back", async () => {
  const set = await cli("host", "clients", "app.localhost", "required", "--ca", "partners");
  assert.match(set, /app\.localhost: client certificates of partners are required/);
  const refused = await ask("app.localhost", null);
  assert.deepEqual([refused.status, /client_certificate_missing/.test(refused.text)], [403, true]);
  const shown = JSON.parse(await cli("host", "clients", "app.localhost", "--json"));
  assert.equal(shown.mode, "required");
  const leaf = await authority.issue({ subject: "CN=robot" });
  const pair = { cert: leaf.chain, key: leaf.key };
  assert.equal((await ask("app.localhost", pair)).status, 200);
  const path = "/accounts/{account}/countersign/client_revocations";
  const serial_number = leaf.x509.serialNumber;
  const { json } = await platform.api("POST", path, { serial_number });
  assert.equal((await ask("app.localhost", pair)).status, 403);
  assert.equal((await platform.api("GET", path)).json.result.length, 1);
  assert.equal((await platform.api("DELETE", `${path}/${json.result.id}`)).status, 200);
  assert.equal((await ask("app.localhost", pair)).status, 200);
  assert.match(await cli("host", "clients", "app.localhost", "off"), /asks for no client/);
  assert.equal((await ask("app.localhost", null)).status, 200);
});

test("a client certificate of the account's own CA: issued, listed, revoked at once, given back", async () => {
  const args =
    "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout c.key -out c.csr -subj /O=Acme/CN=robot";
  await promisify(execFile)("openssl", args.split(" "), { cwd: folder });
  const csr = await readFile(join(folder, "c.csr"), "utf8");
  const made = await sdk.clientCertificates.create({ zone_id, csr, validity_days: 30 });
  assert.deepEqual(
    [made.common_name, made.organization, made.status, made.validity_days],
    ["robot", "Acme", "active", 30],
  );
  assert.match(made.ski!, /^[0-9A-F]{40}$/);
  await cli("host", "clients", "app.localhost", "required", "--ca", "managed");
  const pair = { cert: made.certificate!, key: await readFile(join(folder, "c.key"), "utf8") };
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await ask("app.localhost", pair, agent)).status, 200);
  const id = made.id!;
  assert.equal((await sdk.clientCertificates.delete(id, { zone_id })).status, "revoked");
  const refused = await ask("app.localhost", pair, agent);
  assert.deepEqual([refused.status, /client_certificate_revoked/.test(refused.text)], [403, true]);
  const { result } = await sdk.clientCertificates.list({ zone_id, status: "revoked" });
  assert.deepEqual(
    result.map((one) => one.id),
    [id],
  );
  await sdk.clientCertificates.edit(id, { zone_id, reactivate: true });
  assert.equal((await sdk.clientCertificates.get(id, { zone_id })).status, "active");
  assert.equal((await ask("app.localhost", pair, agent)).status, 200);
  agent.destroy();
  await assert.rejects(
    sdk.clientCertificates.create({ zone_id, csr: "none", validity_days: 30 }),
    /cannot be signed|request/,
  );
});

test("a Worker calls another Worker of ours over mTLS, which decides by its identity", async () => {
  const { outputFiles } = await build({
    stdin: { contents: INNER, resolveDir: import.meta.dirname },
    bundle: true,
    format: "esm",
    write: false,
    conditions: ["workerd", "worker"],
    external: ["node:*"],
  });
  await deploy("inner", outputFiles[0]!.text);
  await cli("host", "clients", "inner.localhost", "required", "--ca", "managed");
  await upload(localAuthority());
  const url = { type: "plain_text", name: "URL", text: `https://inner.localhost:${port}/` };
  const identity = { type: "mtls_certificate", name: "ME", certificate_id: "identity" };
  for (const name of ["outer", "stranger"]) await deploy(name, OUTER, [identity, url]);
  const called = await platform.worker("outer");
  assert.equal(called.status, 200, called.body);
  assert.match(called.body, /^hello spiffe:\/\/.*outer/);
  assert.equal((await platform.worker("stranger")).status, 403);
  await platform.api("POST", "/accounts/{account}/countersign/identities/outer/revoke", {});
  assert.notEqual((await platform.worker("outer")).status, 200);
});

/** PEM of the CA that signs the certificate of `*.localhost`. */
function localAuthority(): string {
  using database = new DatabaseSync(join(platform.dataFolder, "countersign.db"), {
    readOnly: true,
  });
  const row = database.prepare("select certificate from local_authorities").get();
  return String(row!["certificate"]);
}

async function upload(pem: string): Promise<void> {
  const body = { certificates: pem, ca: true, name: "local" };
  const { status, json } = await platform.api(
    "POST",
    "/accounts/{account}/mtls_certificates",
    body,
  );
  assert.equal(status, 200, JSON.stringify(json.errors));
}
