import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import Cloudflare from "cloudflare";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const CODE = `export default { fetch: () => new Response("worker", {
  headers: { "strict-transport-security": "max-age=1" } }) };`;
const STRICT = "www.strict.example";
const LAX = "www.lax.example";

const dataFolder = mkdtempSync(join(tmpdir(), "countersign-zones-"));
let platform: TestPlatform;
let client: Cloudflare;
let strict: { zone_id: string };
before(async () => {
  platform = await start();
  const modules = { "index.js": ["application/javascript+module", CODE] } as const;
  const form = scriptForm({ compatibility_date: "2026-11-01" }, modules);
  const put = await platform.api("PUT", "/accounts/{account}/workers/scripts/site", form);
  assert.equal(put.status, 200, JSON.stringify(put.json.errors));
  strict = { zone_id: await makeZone("strict.example") };
  const lax = await makeZone("lax.example");
  for (const [zone, host] of [
    [strict.zone_id, "strict.example"],
    [lax, "lax.example"],
  ] as const) {
    const route = { pattern: `*${host}/*`, script: "site" };
    const answer = await platform.api("POST", `/zones/${zone}/workers/routes`, route);
    assert.equal(answer.status, 200, JSON.stringify(answer.json.errors));
  }
});
after(async () => {
  await platform?.[Symbol.asyncDispose]();
  rmSync(dataFolder, { recursive: true, force: true });
});

async function start(token?: string): Promise<TestPlatform> {
  const args = ["--https-port", "0"];
  const started = await startPlatform({ args, dataFolder, ...(token !== undefined && { token }) });
  const { api, token: apiToken } = started.ready;
  client = new Cloudflare({ baseURL: api, apiToken, maxRetries: 0 });
  return started;
}

async function makeZone(name: string): Promise<string> {
  return (await client.zones.create({ account: { id: platform.ready.accountId }, name })).id;
}

const securePort = (): string => new URL(platform.ready.https!).port;

/** The version that OpenSSL's client negotiates, or its alert. */
async function agreed(host: string, ...args: readonly string[]): Promise<string> {
  const at = ["-connect", `127.0.0.1:${securePort()}`, "-servername", host];
  const { output } = await run("openssl", ["s_client", ...at, ...args]);
  const alert = /alert protocol version|no protocols available/.exec(output)?.[0];
  return alert ?? /^New, (TLSv1\.\d)/m.exec(output)?.[1] ?? output;
}

/** Status, HTTP version, headers and body as curl sees them. */
async function curl(url: string, ...args: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const at = ["--resolve", `${hostname}:${port}:127.0.0.1`];
  return (await run("curl", ["-skiS", ...at, ...args, url])).output;
}

function run(program: string, args: readonly string[]): Promise<{ output: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, args, (_, out, err) => resolve({ output: `${out}${err}` }));
    child.stdin?.end();
  });
}

async function refusal(change: Promise<unknown>): Promise<string> {
  const failed = await change.then(
    () => null,
    (error: InstanceType<typeof Cloudflare.APIError>) => error,
  );
  return `${failed?.status} ${failed?.message}`;
}

test("a zone that takes TLS 1.3 alone refuses 1.2 in the handshake, and other zones take it", async () => {
  const { settings } = client.zones;
  assert.equal(await agreed(STRICT, "-tls1_2"), "TLSv1.2");
  const changed = await settings.edit("min_tls_version", { ...strict, value: "1.3" });
  assert.deepEqual([changed.id, "value" in changed && changed.value], ["min_tls_version", "1.3"]);
  assert.equal(await agreed(STRICT, "-tls1_2"), "alert protocol version");
  assert.equal(await agreed("strict.example", "-tls1_2"), "alert protocol version");
  assert.equal(await agreed("a.b.strict.example", "-tls1_2"), "alert protocol version");
  assert.equal(await agreed(STRICT), "TLSv1.3");
  assert.equal(await agreed(LAX, "-tls1_2"), "TLSv1.2");
  assert.equal(await agreed("notstrict.example", "-tls1_2"), "TLSv1.2");
  const url = `https://${STRICT}:${securePort()}/`;
  assert.match(await curl(url, "--http2"), /^HTTP\/2 200[^]*worker/);
  assert.match(await curl(url, "--http1.1"), /^HTTP\/1\.1 200[^]*worker/);
  assert.match(await curl(url, "--tls-max", "1.2"), /alert protocol version/);
});

test("a host with a certificate of its own and one that asks for its clients' are held to their zone", async () => {
  const authority = await makeAuthority();
  const { chain, key } = await authority.issue({ subject: "CN=www", dns: [STRICT] });
  const pair = { certificate: chain, private_key: key };
  await client.customCertificates.create({ ...strict, ...pair });
  assert.equal(await agreed(STRICT, "-tls1_2"), "alert protocol version");
  assert.equal(await agreed(STRICT), "TLSv1.3");
  const rules = "/accounts/{account}/countersign/hosts/*.strict.example/clients";
  const put = await platform.api("PUT", rules, { mode: "optional", authorities: ["managed"] });
  assert.equal(put.status, 200, JSON.stringify(put.json.errors));
  assert.equal(await agreed("asks.strict.example", "-tls1_2"), "alert protocol version");
  assert.equal(await agreed("asks.strict.example"), "TLSv1.3");
  await platform.api("PUT", rules, { mode: "off", authorities: [] });
});

test("a connection of before, or for another host, carries no request to a host that would refuse it", async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, maxVersion: "TLSv1.2" });
  const status = (host: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const at = { host: "127.0.0.1", port: securePort(), servername: LAX };
      const sent = request({ ...at, agent, rejectUnauthorized: false, headers: { host } });
      sent.on("error", reject).on("response", (response) => {
        response.resume().on("end", () => resolve(response.statusCode));
      });
      sent.end();
    });
  assert.equal(await status(LAX), 200);
  assert.equal(await status("other.strict.example"), 421);
  await client.zones.settings.edit("min_tls_version", { ...strict, value: "1.2" });
  assert.equal(await status("other.strict.example"), 200);
  agent.destroy();
});

test("with tls_1_3 off a zone agrees on 1.2 with everybody", async () => {
  const { settings } = client.zones;
  await settings.edit("tls_1_3", { ...strict, value: "off" });
  assert.equal(await agreed("a.strict.example"), "TLSv1.2");
  assert.match(await agreed("a.strict.example", "-tls1_3"), /alert protocol version/);
  assert.equal(await agreed(LAX), "TLSv1.3");
  const url = `https://a.strict.example:${securePort()}/`;
  assert.match(await curl(url, "--http2"), /^HTTP\/2 200/);
  const both = settings.edit("min_tls_version", { ...strict, value: "1.3" });
  assert.match(await refusal(both), /400 .*nobody could connect/);
  await settings.edit("tls_1_3", { ...strict, value: "on" });
  assert.equal(await agreed("a.strict.example"), "TLSv1.3");
});

test("always_use_https sends plain requests of the zone's hosts to the TLS port, and no others", async () => {
  const { port } = new URL(platform.ready.http);
  await client.zones.settings.edit("always_use_https", { ...strict, value: "on" });
  const to = `https://${STRICT}:${securePort()}/a?b`;
  const got = await curl(`http://${STRICT}:${port}/a?b`);
  assert.match(got, /^HTTP\/1\.1 301 /);
  assert.ok(got.includes(`location: ${to}\r\n`), got);
  assert.match(await curl(`http://${STRICT}:${port}/a?b`, "-d", "x"), /^HTTP\/1\.1 308 /);
  assert.match(await curl(`http://${LAX}:${port}/`), /^HTTP\/1\.1 200 /);
  assert.match(await curl(to), /^HTTP\/[12.]+ 200 /);
  await client.zones.settings.edit("always_use_https", { ...strict, value: "off" });
  assert.match(await curl(`http://${STRICT}:${port}/`), /^HTTP\/1\.1 200 /);
});

test("security_header is in answers over TLS, in the Worker's place, and nosniff in all", async () => {
  const { port } = new URL(platform.ready.http);
  const header = { enabled: true, max_age: 31_536_000, include_subdomains: true, preload: true };
  const value = { strict_transport_security: { ...header, nosniff: true } };
  await client.zones.settings.edit("security_header", { ...strict, value });
  const url = `https://${STRICT}:${securePort()}/`;
  for (const version of ["--http1.1", "--http2"]) {
    const secure = (await curl(url, version)).toLowerCase();
    const said = secure.match(/strict-transport-security: [^\r]*/g);
    const all = "max-age=31536000; includesubdomains; preload";
    assert.deepEqual(said, [`strict-transport-security: ${all}`]);
    assert.match(secure, /x-content-type-options: nosniff\r/);
  }
  // What the ingress answers itself, too: a refusal here.
  for (const version of ["--http1.1", "--http2"]) {
    const refused = await curl(url + "a".repeat(20_000), version);
    assert.match(refused, /^HTTP\/[12.]+ 414 /);
    assert.match(refused, /strict-transport-security: max-age=31536000; include/i);
    assert.match(refused, /x-content-type-options: nosniff\r/i);
  }
  assert.doesNotMatch(await curl(`http://${STRICT}:${port}/${"a".repeat(20_000)}`), /31536000/);
  const plain = await curl(`http://${STRICT}:${port}/`);
  assert.doesNotMatch(plain, /31536000/);
  assert.match(plain, /x-content-type-options: nosniff/i);
  assert.match(await curl(`https://${LAX}:${securePort()}/`), /max-age=1\r/);
  const off = { strict_transport_security: { enabled: false } };
  await client.zones.settings.edit("security_header", { ...strict, value: off });
  const without = await curl(url);
  assert.match(without, /max-age=1\r/);
  assert.doesNotMatch(without, /nosniff/i);
});

test("what is not there, and values that are not spoken, are refused with why; a batch is done whole or not at all", async () => {
  const { settings } = client.zones;
  const edit = (id: string, value: unknown): Promise<string> =>
    refusal(settings.edit(id, { ...strict, value }));
  assert.match(await edit("min_tls_version", "1.0"), /400 .*TLS 1\.0 and 1\.1 are not spoken here/);
  assert.match(await edit("min_tls_version", "1.1"), /7000376/);
  assert.match(await edit("tls_1_3", "zrt"), /7000376.*0-RTT/);
  assert.match(await edit("brotli", "on"), /7000375.*no setting \\?"brotli/);
  assert.match(await edit("__proto__", "on"), /7000375/);
  assert.match(await edit("ssl", "flexible"), /7000375.*origins are asked over TLS alone/);
  const strictly = await settings.edit("ssl", { ...strict, value: "strict" });
  assert.deepEqual(
    { ...strictly },
    { id: "ssl", value: "strict", editable: false, modified_on: null },
  );
  for (const value of [
    "on",
    {},
    { strict_transport_security: { max_age: -1 } },
    { strict_transport_security: { max_age: 1e12 } },
    { strict_transport_security: { other: 1 } },
  ]) {
    assert.match(await edit("security_header", value), /7000376/);
  }
  assert.match(await refusal(settings.get("brotli", strict)), /7000375/);
  const path = `/zones/${strict.zone_id}/settings`;
  const among = await platform.api("PATCH", path, {
    items: [{ id: "tls_client_auth", value: "on" }],
  });
  assert.match(among.json.errors[0]!.message, /changed by itself/);
  const whole = await platform.api("PATCH", path, {
    items: [
      { id: "tls_1_3", value: "off" },
      { id: "polish", value: "off" },
    ],
  });
  assert.equal(whole.json.errors[0]?.code, 7000375);
  const there = await platform.api("GET", path);
  const values = there.json.result.map((one: { id: string; value: unknown }) => [
    one.id,
    one.value,
  ]);
  assert.deepEqual(Object.fromEntries(values)["tls_1_3"], "on");
  assert.equal(values.length, 6);
  const made = await platform.api("PATCH", path, {
    items: [
      { id: "tls_1_3", value: "on" },
      { id: "min_tls_version", value: "1.3" },
    ],
  });
  assert.equal(made.status, 200, JSON.stringify(made.json.errors));
  assert.equal(await agreed(STRICT, "-tls1_2"), "alert protocol version");
});

test("a zone that follows from a route has no settings until it is made", async () => {
  const route = [{ pattern: "www.derived.example/*" }];
  await platform.api("PUT", "/accounts/{account}/workers/scripts/site/routes", [
    ...route,
    { pattern: "*strict.example/*" },
    { pattern: "*lax.example/*" },
  ]);
  const { result } = await client.zones.list({ name: "derived.example" });
  const derived = { zone_id: result[0]!.id };
  const value = { ...derived, value: "1.3" };
  assert.match(
    await refusal(client.zones.settings.edit("min_tls_version", value)),
    /404 .*follows from a route/,
  );
  const set = ["zone", "settings", "derived.example", "--data", dataFolder];
  const settled = await countersign([
    ...set,
    "--min-tls",
    "1.3",
    "--hsts",
    "86400",
    "--always-use-https",
    "on",
  ]);
  assert.equal(settled.status, 0, settled.stderr);
  assert.match(settled.stdout, /min_tls_version +1\.3/);
  assert.match(settled.stdout, /security_header +max-age 86400/);
  assert.equal(await agreed("www.derived.example", "-tls1_2"), "alert protocol version");
  const refused = await countersign([...set, "--min-tls", "1.1"]);
  assert.match(refused.stderr, /TLS 1\.0 and 1\.1 are not spoken here/);
});

test("a zone below another has its own settings, a restart keeps them, and deleting a zone ends them", async () => {
  const inner = { zone_id: await makeZone("inner.strict.example") };
  assert.equal(await agreed("a.inner.strict.example", "-tls1_2"), "TLSv1.2");
  const { token } = platform.ready;
  await platform.end("SIGKILL");
  platform = await start(token);
  assert.equal(await agreed("a.inner.strict.example", "-tls1_2"), "TLSv1.2");
  assert.equal(await agreed(STRICT, "-tls1_2"), "alert protocol version");
  const audit = await countersign(["audit", "list", "--json", "--data", dataFolder]);
  assert.match(audit.stdout, /zone\.settings/);
  await client.zones.delete(inner);
  assert.equal(await agreed("a.inner.strict.example", "-tls1_2"), "alert protocol version");
  await client.zones.delete(strict);
  assert.equal(await agreed(STRICT, "-tls1_2"), "TLSv1.2");
  strict = { zone_id: await makeZone("strict.example") };
  assert.equal(await agreed(STRICT, "-tls1_2"), "TLSv1.2");
});
