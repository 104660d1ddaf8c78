import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, test } from "node:test";
import Cloudflare from "cloudflare";
import { renewGlobalPulls } from "../src/control/routing/global-pulls.ts";
import { countersign } from "./helpers/cli.ts";
import { startControl } from "./helpers/control.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const ZONE = "example.com";
const SETTING = "tls_client_auth";
const DAY = 86_400_000;
let folder: string;
let authority: TestAuthority;
let origin: TestOrigin;
let platform: TestPlatform;
let client: Cloudflare;
let zone_id: string;
/** The CAs as their owner was given them. */
let exported: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "origin-pulls-global-"));
  authority = await makeAuthority("Origins");
  origin = await startOrigin({ authority, handler: (_, response) => void response.end("origin") });
  platform = await startPlatform({ dataFolder: join(folder, "data"), args: args() });
  connect();
  const ca = { certificates: authority.pem, ca: true, name: "origins" };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", ca);
  assert.ok(json.success, JSON.stringify(json.errors));
  const { accountId: id } = platform.ready;
  zone_id = (await client.zones.create({ account: { id }, name: ZONE })).id;
  const record = { zone_id, type: "A", content: "127.0.0.1", ttl: 1, proxied: true } as const;
  await client.dns.records.create({ ...record, name: "@" });
  await client.dns.records.create({ ...record, name: "*" });
  exported = (await cli("host", "origin-ca")).stdout;
  await trustAtOrigin(exported);
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

function args(): string[] {
  return ["--dev", "--origin-port", String(origin.port)];
}

function connect(): void {
  const { api: baseURL, token: apiToken } = platform.ready;
  client = new Cloudflare({ apiToken, baseURL, maxRetries: 0 });
}

function cli(...argv: string[]): ReturnType<typeof countersign> {
  return countersign([...argv, "--data", platform.dataFolder]);
}

/** From now on the origin accepts only certificates of these CAs. */
async function trustAtOrigin(...ca: string[]): Promise<void> {
  const { chain, key } = await authority.issue({
    subject: "CN=origin",
    dns: [ZONE, `*.${ZONE}`],
  });
  origin.server.setSecureContext({ cert: chain, key, ca });
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

function global(): string {
  return `O=${platform.ready.accountId},CN=Countersign origin pulls`;
}

test("the CA is exported as PEM, is always the same, and signs client certificates alone", async () => {
  const ca = new X509Certificate(exported);
  assert.ok(ca.ca);
  assert.ok(ca.verify(ca.publicKey));
  assert.deepEqual(ca.keyUsage, ["1.3.6.1.5.5.7.3.2"]);
  assert.equal((await cli("host", "origin-ca")).stdout, exported);
  const json = JSON.parse((await cli("host", "origin-ca", "--json")).stdout) as object[];
  assert.deepEqual(
    json.map((one) => (one as { certificate: string }).certificate),
    [exported],
  );
});

test("a zone shows its origins the global certificate while it is switched on, and none before or after", async () => {
  const off = await client.zones.settings.get(SETTING, { zone_id });
  assert.deepEqual(off, { id: SETTING, value: "off", editable: true, modified_on: null });
  const { status, text } = await ask(ZONE);
  assert.equal(status, 525);
  assert.match(text, /origin_refused_certificate_required/);
  const on = await client.zones.settings.edit(SETTING, { zone_id, value: "on" });
  assert.equal((on as { value?: unknown }).value, "on");
  assert.equal(await seenFrom(ZONE), global());
  assert.equal(await seenFrom("any.example.com"), global());
  const shown = await cli("host", "show", "any.example.com");
  assert.match(shown.stdout, /gets the global certificate/);
  await client.zones.settings.edit(SETTING, { zone_id, value: "off" });
  assert.equal((await ask(ZONE)).status, 525);
  assert.match((await cli("host", "show", ZONE)).stdout, /gets no certificate/);
  await client.zones.settings.edit(SETTING, { zone_id, value: "on" });
  assert.equal(await seenFrom(ZONE), global());
});

test("a hostname's certificate goes before the zone's, and the zone's before the global one", async () => {
  await trustAtOrigin(exported, authority.pem);
  const { zoneCertificates, hostnameCertificates, hostnames, settings } =
    client.originTLSClientAuth;
  const pair = async (name: string): Promise<{ certificate: string; private_key: string }> => {
    const { chain, key } = await authority.issue({ subject: `CN=${name}` });
    return { certificate: chain, private_key: key };
  };
  const hostname = "api.example.com";
  const own = await hostnameCertificates.create({ zone_id, ...(await pair("host")) });
  const config = [{ hostname, cert_id: own.id ?? "", enabled: true }];
  await hostnames.update({ zone_id, config });
  assert.equal(await seenFrom(hostname), "CN=host");
  assert.equal(await seenFrom(ZONE), global());
  const zones = await zoneCertificates.create({ zone_id, ...(await pair("zone")) });
  await settings.update({ zone_id, enabled: true });
  assert.equal(await seenFrom(ZONE), "CN=zone");
  assert.equal(await seenFrom(hostname), "CN=host");
  await zoneCertificates.delete(zones.id ?? "", { zone_id });
  assert.equal(await seenFrom(ZONE), global());
  await hostnames.update({ zone_id, config: [{ ...config[0], enabled: null }] });
  assert.equal(await seenFrom(hostname), global());
});

test("a restart and a change of the master key leave the CA and its certificate as they are", async () => {
  await trustAtOrigin(exported);
  const { token } = platform.ready;
  const rotated = await cli("keys", "rotate");
  assert.equal(rotated.status, 0, rotated.stderr);
  await platform.end("SIGTERM");
  for (const file of await readdir(platform.dataFolder, { withFileTypes: true, recursive: true })) {
    if (!file.isFile()) continue;
    const content = await readFile(join(file.parentPath, file.name), "latin1");
    assert.ok(!content.includes("BEGIN PRIVATE KEY"), file.name);
  }
  platform = await startPlatform({ dataFolder: join(folder, "data"), token, args: args() });
  connect();
  assert.equal((await cli("host", "origin-ca")).stdout, exported);
  assert.equal(await seenFrom(ZONE), global());
  // The CA's key can be unsealed too: another certificate is signed with it.
  await client.zones.settings.edit(SETTING, { zone_id, value: "off" });
  await client.zones.settings.edit(SETTING, { zone_id, value: "on" });
  assert.equal(await seenFrom(ZONE), global());
});

test("a backup, restored with the master key, has the CA and what it signed", async () => {
  const file = join(folder, "copy.db");
  const made = await cli("backup", file);
  assert.equal(made.status, 0, made.stderr);
  const { token } = platform.ready;
  await platform.end("SIGTERM");
  const dataFolder = join(folder, "restored");
  await mkdir(dataFolder);
  await copyFile(join(folder, "data", "master.key"), join(dataFolder, "master.key"));
  const restored = await countersign(["restore", file, "--data", dataFolder]);
  assert.equal(restored.status, 0, restored.stderr);
  platform = await startPlatform({ dataFolder, token, args: args() });
  assert.equal((await cli("host", "origin-ca")).stdout, exported);
  assert.equal(await seenFrom(ZONE), global());
});

test("the certificate is renewed a month before its end, and the CA's successor is known a year before", async () => {
  await using control = await startControl();
  const { store, keyring, accountId } = control;
  const zone = (await control.call("POST", "/zones", { name: ZONE })).result as { id: string };
  const path = `/zones/${zone.id}/settings/${SETTING}`;
  assert.equal((await control.call("PATCH", path, { value: "maybe" })).status, 400);
  assert.equal((await control.call("PATCH", path, { value: "on" })).status, 200);
  const held = async (): Promise<X509Certificate[]> => {
    const rows = await store.db.selectFrom("originPullCertificates").selectAll().execute();
    return rows.map(({ chain }) => new X509Certificate(chain));
  };
  const authorities = async (): Promise<X509Certificate[]> => {
    const listed = `/accounts/${accountId}/countersign/origin_pull_authorities`;
    const { result } = await control.call("GET", listed);
    return (result as { certificate: string }[]).map((one) => new X509Certificate(one.certificate));
  };
  const renewed = (days: number): Promise<readonly string[]> =>
    renewGlobalPulls({ store, keyring, clock: () => new Date(Date.now() + days * DAY) });
  const [first] = await held();
  assert.deepEqual(await renewed(59), []);
  assert.deepEqual(await renewed(61), [accountId]);
  const [second, ...others] = await held();
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(others, []);
  assert.notEqual(second.serialNumber, first.serialNumber);
  const [ca, ...none] = await authorities();
  assert.ok(ca !== undefined);
  assert.deepEqual(none, []);
  assert.ok(second.verify(ca.publicKey));
  // The old CA still signs while the owners of origins learn of the next one.
  await renewed(3650 - 360);
  const [old, next] = await authorities();
  assert.equal(old?.fingerprint256, ca.fingerprint256);
  assert.ok(next !== undefined);
  assert.ok((await held())[0]?.verify(ca.publicKey));
  await renewed(3650 - 80);
  assert.ok((await held())[0]?.verify(next.publicKey));
  assert.equal((await control.call("PATCH", path, { value: "off" })).status, 200);
  assert.deepEqual(await held(), []);
});

test("the global certificate takes nothing of an account's share, and goes with no zone that shows it", async () => {
  await using control = await startControl({ limits: { certificates: 1 } });
  const zone = (await control.call("POST", "/zones", { name: ZONE })).result as { id: string };
  await control.call("PATCH", `/zones/${zone.id}/settings/${SETTING}`, { value: "on" });
  const { chain, key } = await authority.issue({ subject: "CN=zone" });
  const upload = { certificate: chain, private_key: key };
  const pulls = `/zones/${zone.id}/origin_tls_client_auth`;
  assert.equal((await control.call("POST", pulls, upload)).status, 200);
  assert.equal((await control.call("GET", pulls)).result.length, 1);
  assert.equal((await control.call("DELETE", `/zones/${zone.id}`)).status, 200);
  const { store, keyring } = control;
  assert.deepEqual(await renewGlobalPulls({ store, keyring, clock: () => new Date() }), [
    control.accountId,
  ]);
  const rows = await store.db.selectFrom("originPullCertificates").selectAll().execute();
  assert.deepEqual(rows, []);
});
