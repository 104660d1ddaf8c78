import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { request, type IncomingHttpHeaders } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const HOST = "api.example.com";
let platform: TestPlatform;
let authority: TestAuthority;
let origin: TestOrigin;
let folder: string;
let seen: IncomingHttpHeaders = {};

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "host-origins-"));
  platform = await startPlatform({ dataFolder: join(folder, "data") });
  authority = await makeAuthority("Origins");
  origin = await startOrigin({
    authority,
    dns: [HOST],
    handler: (asked, response) => {
      seen = asked.headers;
      asked.pipe(response.writeHead(200, { "x-url": `${asked.method} ${asked.url}` }));
    },
  });
  const ca = { certificates: authority.pem, ca: true, name: "origins" };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", ca);
  assert.ok(json.success, JSON.stringify(json.errors));
  for (const name of ["first", "second"]) await uploadCertificate(name);
});
after(async () => {
  await origin[Symbol.asyncDispose]();
  await platform[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function uploadCertificate(name: string): Promise<void> {
  const { chain, key } = await authority.issue({ subject: `CN=${name}` });
  const pair = { certificates: chain, private_key: key, ca: false, name };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", pair);
  assert.ok(json.success, JSON.stringify(json.errors));
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Asked {
  readonly host?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(path: string, { host = HOST, body = "", headers }: Asked = {}): Promise<Answer> {
  const { port } = new URL(platform.ready.http);
  return new Promise((resolve, reject) => {
    request(
      {
        host: "127.0.0.1",
        port,
        path,
        method: body === "" ? "GET" : "POST",
        headers: { host, ...headers },
        agent: false,
      },
      (response) => {
        const { statusCode: status = 0, headers: got } = response;
        textOf(response).then((text) => resolve({ status, headers: got, text }), reject);
      },
    )
      .on("error", reject)
      .end(body);
  });
}

function cli(...args: string[]): ReturnType<typeof countersign> {
  return countersign([...args, "--data", platform.dataFolder]);
}

async function lead(to: string, certificate: string, host = HOST): Promise<void> {
  const { status, stderr } = await cli(
    "host",
    "origin",
    host,
    "--to",
    to,
    "--certificate",
    certificate,
  );
  assert.equal(status, 0, stderr);
}

const here = (): string => `https://127.0.0.1:${origin.port}`;

test("a host's requests go to its origin with the certificate, under the host's name", async () => {
  assert.equal((await ask("/")).status, 404);
  await lead(here(), "first");
  const answer = await ask("/a/../b?c=%2F", {
    body: "hello",
    headers: { "cf-connecting-ip": "192.0.2.1", "countersign-cf": "forged" },
  });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.text, "hello");
  assert.equal(answer.headers["x-url"], "POST /a/../b?c=%2F");
  assert.equal(origin.subjects.at(-1), "CN=first");
  assert.equal(seen.host, HOST);
  assert.equal(seen["cf-connecting-ip"], "127.0.0.1");
  assert.equal(seen["countersign-cf"], undefined);
});

test("nor does it get what a client says in the platform's name with _ in place of -", async () => {
  const names = [
    "CF_Connecting_IP",
    "cf-access_jwt-assertion",
    "Client_Cert",
    "X_SSL_Client-Verify",
  ];
  const headers = Object.fromEntries([...names, "x_other"].map((name) => [name, "forged"]));
  assert.equal((await ask("/", { headers })).status, 200);
  const forged = Object.keys(seen).filter((name) => seen[name] === "forged");
  assert.deepEqual(forged, ["x_other"]);
});

test("what comes back to the host is refused: an origin that leads here is a loop", async () => {
  await ask("/");
  const { status, text } = await ask("/", {
    headers: { "cdn-loop": `other, ${String(seen["cdn-loop"])}` },
  });
  assert.equal(status, 508);
  assert.match(text, /host_origin_loop/);
  assert.equal((await ask("/", { headers: { "cdn-loop": "other" } })).status, 200);
});

test("another certificate is presented with no request lost", async () => {
  const statuses: number[] = [];
  const over = new AbortController();
  const asking = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) statuses.push((await ask("/", { body: "x" })).status);
  });
  for (const certificate of ["second", "first", "second"]) await lead(here(), certificate);
  const { status } = await ask("/");
  over.abort();
  await Promise.all(asking);
  assert.equal(status, 200);
  assert.equal(origin.subjects.at(-1), "CN=second");
  assert.deepEqual(
    statuses.filter((one) => one !== 200),
    [],
  );
});

test("the origin is verified by the host's name, and a failure says so", async () => {
  await lead(here(), "first", "*.other.example");
  const { status, text } = await ask("/", { host: "www.other.example" });
  assert.ok(status >= 500, text);
  assert.match(text, /origin_[a-z_]*name/);
});

test("the certificate of an origin is not deleted under it", async () => {
  const { result } = (await platform.api("GET", "/accounts/{account}/mtls_certificates")).json;
  const { id } = result.find(({ name }: { name: string }) => name === "second");
  const path = `/accounts/{account}/mtls_certificates/${id}`;
  const { json } = await platform.api("DELETE", path);
  assert.match(JSON.stringify(json.errors), /api\.example\.com/);
});

test("a Worker with a route at the host goes before its origin", async () => {
  const form = new FormData();
  const metadata = { main_module: "index.js", compatibility_date: "2026-11-01" };
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  const code = `export default { fetch: () => new Response("worker") };`;
  form.set("index.js", new File([code], "index.js", { type: "application/javascript+module" }));
  const path = "/accounts/{account}/workers/scripts/front";
  assert.ok((await platform.api("PUT", path, form)).json.success);
  const routes = [{ pattern: `${HOST}/worker/*` }];
  assert.ok((await platform.api("PUT", `${path}/routes`, routes)).json.success);
  assert.equal((await ask("/worker/x")).text, "worker");
  assert.equal((await ask("/other", { body: "origin" })).text, "origin");
});

test("what cannot be an origin is refused by name", async () => {
  for (const to of ["http://10.0.0.5", "https://10.0.0.5/path", "https://u:p@10.0.0.5", "x"]) {
    const { status, stderr } = await cli("host", "origin", HOST, "--to", to);
    assert.equal(status, 1, to);
    assert.match(stderr, /host_origin_invalid/);
  }
  const unnamed = await cli("host", "origin", "new.example.com", "--to", here());
  assert.match(unnamed.stderr, /which client certificate/);
  const own = await cli("host", "origin", "x.localhost", "--to", here());
  assert.notEqual(own.status, 0);
});

test("origins are shown, are there after a restart, and go", async () => {
  const shown = await cli("host", "origin", HOST, "--json");
  assert.equal(JSON.parse(shown.stdout).to, here());
  const hosts = await cli("host", "list");
  assert.match(hosts.stdout, new RegExp(`api.example.com +\\S.*${here()}|${here()}`));
  const { token } = platform.ready;
  await platform.end("SIGTERM");
  platform = await startPlatform({ dataFolder: join(folder, "data"), token });
  assert.equal((await ask("/", { body: "again" })).text, "again");
  assert.equal((await cli("host", "origin", HOST, "--delete")).status, 0);
  assert.equal((await ask("/")).status, 404);
  assert.match((await cli("host", "origin", HOST)).stderr, /host_origin_not_found/);
});
