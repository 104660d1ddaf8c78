import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, test } from "node:test";
import Cloudflare from "cloudflare";
import { countersign } from "./helpers/cli.ts";
import { startControl } from "./helpers/control.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const ZONE = "example.com";
let folder: string;
let authority: TestAuthority;
let origin: TestOrigin;
let platform: TestPlatform;
let client: Cloudflare;
let zone_id: string;
/** How long the origin takes, ms. */
let pause = 0;
const keys: string[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "origin-pulls-"));
  authority = await makeAuthority("Origins");
  origin = await startOrigin({
    authority,
    dns: [ZONE, `*.${ZONE}`],
    handler: (_, response) => {
      void delay(pause).then(() => response.end("origin"));
    },
  });
  platform = await startPlatform({
    dataFolder: join(folder, "data"),
    args: ["--dev", "--origin-port", String(origin.port)],
  });
  const { api: baseURL, token: apiToken, accountId: id } = platform.ready;
  client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
  const ca = { certificates: authority.pem, ca: true, name: "origins" };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", ca);
  assert.ok(json.success, JSON.stringify(json.errors));
  zone_id = (await client.zones.create({ account: { id }, name: ZONE })).id;
  const record = { zone_id, type: "A", content: "127.0.0.1", ttl: 1, proxied: true } as const;
  await client.dns.records.create({ ...record, name: "@" });
  await client.dns.records.create({ ...record, name: "*" });
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function pair(name: string): Promise<{ certificate: string; private_key: string }> {
  const { chain, key } = await authority.issue({ subject: `CN=${name}` });
  keys.push(key);
  return { certificate: chain, private_key: key };
}

function ask(host: string): Promise<{ status: number; text: string }> {
  const { port } = new URL(platform.ready.http);
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, headers: { host }, agent: false }, (response) => {
      const { statusCode: status = 0 } = response;
      textOf(response).then((text) => resolve({ status, text }), reject);
    })
      .on("error", reject)
      .end();
  });
}

/** The client that the origin saw. */
async function seenFrom(host: string): Promise<string | undefined> {
  const { status, text } = await ask(host);
  assert.equal(status, 200, text);
  return origin.subjects.at(-1);
}

test("an origin that demands a certificate is shown none until the zone says so", async () => {
  const { status, text } = await ask(ZONE);
  assert.equal(status, 525);
  assert.match(text, /origin_refused_certificate_required/);
  const { zoneCertificates, settings } = client.originTLSClientAuth;
  assert.deepEqual(await settings.get({ zone_id }), { enabled: false });
  const made = await zoneCertificates.create({ zone_id, ...(await pair("zone 1")) });
  assert.equal(made.status, "active");
  assert.ok(new X509Certificate(made.certificate ?? ""));
  assert.equal((await ask(ZONE)).status, 525);
  assert.deepEqual(await settings.update({ zone_id, enabled: true }), { enabled: true });
  assert.equal(await seenFrom(ZONE), "CN=zone 1");
  assert.equal(await seenFrom("any.example.com"), "CN=zone 1");
  assert.equal((await zoneCertificates.get(made.id ?? "", { zone_id })).id, made.id);
});

test("a host's own certificate goes before the zone's, below a wildcard too", async () => {
  const { hostnameCertificates, hostnames } = client.originTLSClientAuth;
  const { id: cert_id = "" } = await hostnameCertificates.create({
    zone_id,
    ...(await pair("host")),
  });
  const hostname = "api.example.com";
  for await (const one of hostnames.update({
    zone_id,
    config: [{ hostname, cert_id, enabled: true }],
  })) {
    assert.equal(one.hostname, hostname);
    assert.equal(one.cert_id, cert_id);
  }
  assert.equal(await seenFrom(hostname), "CN=host");
  assert.equal(await seenFrom("other.example.com"), "CN=zone 1");
  const shown = await countersign(["host", "show", hostname, "--data", platform.dataFolder]);
  assert.match(shown.stdout, new RegExp(`the certificate ${cert_id} of the hostname`));
  assert.equal((await hostnames.get(hostname, { zone_id })).enabled, true);
  await assert.rejects(hostnameCertificates.delete(cert_id, { zone_id }), { status: 409 });
  await hostnames.update({ zone_id, config: [{ hostname, cert_id, enabled: false }] });
  assert.equal(await seenFrom(hostname), "CN=zone 1");
  await hostnames.update({ zone_id, config: [{ hostname, cert_id, enabled: null }] });
  await assert.rejects(hostnames.get(hostname, { zone_id }), { status: 404 });
  assert.equal((await hostnameCertificates.delete(cert_id, { zone_id })).id, cert_id);
});

test("a zone's certificate is rotated, and the one before deleted, with no request lost", async () => {
  const { zoneCertificates } = client.originTLSClientAuth;
  const statuses: number[] = [];
  const over = new AbortController();
  pause = 300;
  const asking = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) statuses.push((await ask(ZONE)).status);
  });
  try {
    await delay(100);
    for (const name of ["zone 2", "zone 3"]) {
      const earlier: string[] = [];
      for await (const { id = "" } of zoneCertificates.list({ zone_id })) earlier.push(id);
      await zoneCertificates.create({ zone_id, ...(await pair(name)) });
      for (const id of earlier) await zoneCertificates.delete(id, { zone_id });
      assert.equal(await seenFrom(ZONE), `CN=${name}`);
    }
  } finally {
    over.abort();
    pause = 0;
  }
  await Promise.all(asking);
  assert.ok(statuses.length >= 8);
  assert.deepEqual(new Set(statuses), new Set([200]));
});

test("what cannot be presented is refused by name", async () => {
  const { zoneCertificates, hostnames } = client.originTLSClientAuth;
  const [one, other] = [await pair("one"), await pair("other")];
  const mixed = { certificate: one.certificate, private_key: other.private_key };
  await assert.rejects(zoneCertificates.create({ zone_id, ...mixed }), { status: 400 });
  for (const hostname of ["api.example.net", "example.com.evil.example"]) {
    const config = [{ hostname, cert_id: "0", enabled: true }];
    await assert.rejects(hostnames.update({ zone_id, config }).asResponse(), { status: 400 });
  }
  await assert.rejects(zoneCertificates.get("0", { zone_id }), { status: 404 });
});

test("keys of origin pulls are sealed, and open after a restart and a change of the master key", async () => {
  const { token } = platform.ready;
  const args = ["--dev", "--origin-port", String(origin.port)];
  const rotated = await countersign(["keys", "rotate", "--data", platform.dataFolder]);
  assert.equal(rotated.status, 0, rotated.stderr);
  await platform.end("SIGTERM");
  const files = await readdir(platform.dataFolder, { withFileTypes: true, recursive: true });
  for (const file of files.filter((one) => one.isFile())) {
    const content = await readFile(join(file.parentPath, file.name), "latin1");
    for (const key of keys) assert.ok(!content.includes(key.split("\n")[1] ?? key), file.name);
  }
  platform = await startPlatform({ dataFolder: join(folder, "data"), token, args });
  assert.equal(await seenFrom(ZONE), "CN=zone 3");
});

test("an account has a share of certificates for origin pulls, and of hosts that name one", async () => {
  await using control = await startControl({ limits: { certificates: 1, dnsRecords: 1 } });
  const zone = (await control.call("POST", "/zones", { name: ZONE })).result as { id: string };
  const path = `/zones/${zone.id}/origin_tls_client_auth/hostnames`;
  const made = await control.call("POST", `${path}/certificates`, await pair("first"));
  assert.equal(made.status, 200, JSON.stringify(made.errors));
  const { status, errors } = await control.call("POST", `${path}/certificates`, await pair("more"));
  assert.equal(status, 400);
  assert.match(errors[0]?.message ?? "", /certificate_quota|already holds 1/);
  const config = ["a", "b"].map((name) => ({
    hostname: `${name}.${ZONE}`,
    cert_id: made.result.id as string,
    enabled: true,
  }));
  assert.equal((await control.call("PUT", path, { config })).status, 400);
  assert.equal((await control.call("PUT", path, { config: config.slice(1) })).status, 200);
});
