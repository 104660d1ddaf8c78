import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as textOf } from "node:stream/consumers";
import { after, before, beforeEach, test } from "node:test";
import { pino } from "pino";
import { RevocationListRefresh } from "../src/platform/revocation-lists.ts";
import { countersign } from "./helpers/cli.ts";
import { startControl } from "./helpers/control.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const path = "/accounts/{account}/countersign/revocation_lists";
const HOUR = 3_600_000;

/** The current answer of the CA's server. */
let served: { status: number; body: string | Buffer };
let server: Server;
let url: string;
let authority: TestAuthority;
let folder: string;
let platform: TestPlatform;
let robot: TestCertificate;

before(async () => {
  server = createServer((_, response) => void response.writeHead(served.status).end(served.body));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/partners.crl`;
  folder = await mkdtemp(join(tmpdir(), "revocation-lists-"));
  authority = await makeAuthority("Partners");
  robot = await authority.issue({ subject: "CN=robot" });
  platform = await startPlatform({ args: ["--dev", "--https-port", "0"] });
  await writeFile(join(folder, "ca.pem"), authority.pem);
  await cli("ca", "upload", "--cert", join(folder, "ca.pem"), "--name", "partners");
  const form = new FormData();
  const metadata = { main_module: "index.js", compatibility_date: "2026-11-01" };
  const code = `export default { fetch: () => new Response("hello") };`;
  form.set("metadata", new Blob([JSON.stringify(metadata)], { type: "application/json" }));
  form.set("index.js", new File([code], "index.js", { type: "application/javascript+module" }));
  await platform.api("PUT", "/accounts/{account}/workers/scripts/app", form);
  await cli("host", "clients", "app.localhost", "required", "--ca", "partners");
});
beforeEach(() => (served = { status: 404, body: "" }));
after(async () => {
  await platform[Symbol.asyncDispose]();
  server.close();
  await rm(folder, { recursive: true });
});

async function cli(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await countersign([...args, "--data", platform.dataFolder]);
  assert.equal(status, 0, stderr);
  return stdout;
}

async function refused(...args: string[]): Promise<string> {
  const { status, stderr } = await countersign([...args, "--data", platform.dataFolder]);
  assert.notEqual(status, 0);
  return stderr;
}

function ask(
  agent: Agent,
  { chain, key } = robot,
  host = "app.localhost",
): Promise<{ status: number; text: string }> {
  const port = Number(new URL(platform.ready.https!).port);
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, servername: host, headers: { host } };
    request({ ...options, rejectUnauthorized: false, agent, cert: chain, key }, (response) => {
      textOf(response).then((text) => resolve({ status: response.statusCode!, text }), reject);
    })
      .on("error", reject)
      .end();
  });
}

async function forgetAll(): Promise<void> {
  for (const { id } of JSON.parse(await cli("host", "crl", "--json"))) {
    await cli("host", "crl", "--delete", id);
  }
}

test("a list from a file refuses its certificates at the next request of an open connection", async () => {
  const file = join(folder, "partners.crl");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const other = new Agent({ keepAlive: true, maxSockets: 1 });
  const good = await authority.issue({ subject: "CN=good" });
  assert.equal((await ask(agent)).status, 200);
  await writeFile(file, await authority.revoke([robot]));
  assert.match(await cli("host", "crl", file), /CN=Partners: 1 revoked, .*uploaded/);
  const answer = await ask(agent);
  assert.deepEqual([answer.status, /client_certificate_revoked/.test(answer.text)], [403, true]);
  assert.equal((await ask(other, good)).status, 200, "others of the same CA come in");
  assert.match(await cli("host", "show", "app.localhost"), /crl +CN=Partners: 1 revoked/);
  // The next file replaces it.
  await writeFile(file, await authority.revoke([]));
  await cli("host", "clients", "app.localhost", "--crl", file);
  assert.equal(JSON.parse(await cli("host", "crl", "--json")).length, 1);
  assert.equal((await ask(agent)).status, 200);
  await forgetAll();
  agent.destroy();
  other.destroy();
});

test("a list of a CA that only Access has refuses its certificates too", async () => {
  const machines = await makeAuthority("Machines");
  const machine = await machines.issue({ subject: "CN=machine" });
  const access = "/accounts/{account}/access";
  const host = "gate.example";
  const put = async (at: string, body: object): Promise<void> => {
    const { status, json } = await platform.api("POST", access + at, body);
    assert.ok(status < 300, JSON.stringify(json));
  };
  await put("/certificates", {
    name: "machines",
    certificate: machines.pem,
    associated_hostnames: [host],
  });
  const policies = [{ name: "m", decision: "non_identity", include: [{ certificate: {} }] }];
  await put("/apps", { type: "self_hosted", name: "gate", domain: host, policies });
  const route = { pattern: `${host}/*`, script: "app" };
  const zone = await platform.api("POST", "/zones", { name: host });
  const routed = await platform.api("POST", `/zones/${zone.json.result.id}/workers/routes`, route);
  assert.equal(routed.status, 200, JSON.stringify(routed.json));
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await ask(agent, machine, host)).status, 200);
  const list = await machines.revoke([machine]);
  assert.equal((await platform.api("POST", path, { list })).status, 200);
  const refusal = await ask(agent, machine, host);
  assert.deepEqual([refusal.status, /access_denied/.test(refusal.text)], [403, true]);
  await forgetAll();
  assert.equal((await ask(agent, machine, host)).status, 200);
  agent.destroy();
});

test("a revoked intermediate takes with it what it has issued", async () => {
  const between = await authority.intermediate("Between");
  const below = await between.issue({ subject: "CN=below" });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  assert.equal((await ask(agent, below)).status, 200);
  const list = await authority.revoke([{ x509: between.certificate } as TestCertificate]);
  assert.equal((await platform.api("POST", path, { list })).status, 200);
  assert.equal((await ask(agent, below)).status, 403);
  await forgetAll();
  assert.equal((await ask(agent, below)).status, 200);
  agent.destroy();
});

test("a list from a URL is followed, and kept while its URL has nothing better", async () => {
  served = { status: 200, body: await authority.revoke([robot]) };
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  await cli("host", "crl", url, "--interval", "60");
  assert.equal((await ask(agent)).status, 403);
  const forged = await (await makeAuthority("Partners")).revoke([]);
  const older = await authority.revoke([], { thisUpdate: new Date(Date.now() - 5 * HOUR) });
  for (const [status, body, why] of [
    [200, forged, /signature is not of CN=Partners/],
    [200, older, /is kept/],
    [200, "<html>", /no revocation list/],
    [500, "", /could not be fetched/],
    [200, "x".repeat(600_000), /could not be fetched/],
  ] as const) {
    served = { status, body };
    assert.match(await refused("host", "crl", url), why);
    assert.equal((await ask(agent)).status, 403, "the one before is kept");
  }
  served = { status: 200, body: await authority.revoke([], { thisUpdate: new Date() }) };
  await cli("host", "crl", url);
  assert.equal((await ask(agent)).status, 200);
  assert.equal(JSON.parse(await cli("host", "crl", "--json")).length, 1);
  await forgetAll();
  agent.destroy();
});

test("host show and doctor warn of a list that is out of date", async () => {
  const nextUpdate = new Date(Date.now() - 60_000);
  const list = await authority.revoke([robot], { nextUpdate });
  await platform.api("POST", path, { list });
  assert.match(await cli("host", "show", "app.localhost"), /warning: it was good until/);
  const { stdout } = await countersign(["doctor", "--data", platform.dataFolder]);
  assert.match(stdout, /crl .*the revocation list of CN=Partners: it was good until/);
  await forgetAll();
});

test("a list is fetched where bindings may go, and the answer does not say what is elsewhere", async () => {
  await using strict = await startPlatform({ args: [] });
  const answers = new Set<string>();
  served = { status: 200, body: await authority.revoke([]) };
  for (const to of [url, "http://127.0.0.1:1/", "http://169.254.169.254/latest/"]) {
    const { status, json } = await strict.api("POST", path, { url: to });
    assert.equal(status, 400);
    answers.add(json.errors[0]!.message);
  }
  assert.equal(answers.size, 1);
  assert.match([...answers][0]!, /could not be fetched/);
  assert.match(strict.log(), /is not connected to: it is loopback/);
  const secret = await strict.api("POST", path, { url: "https://me:word@pki.example/a.crl" });
  assert.match(secret.json.errors[0]!.message, /user name or password/);
});

test("an account adds twenty lists at once, and one more each six seconds", async () => {
  await using control = await startControl();
  const statuses: number[] = [];
  for (let i = 0; i < 21; i++) {
    statuses.push((await control.call("POST", path, { list: "none" })).status);
  }
  assert.deepEqual(statuses, [...Array.from({ length: 20 }, () => 400), 429]);
});

test("a list is fetched again after its interval, when the next is due, and later after failures", async () => {
  let now = new Date();
  const clock = (): Date => now;
  await using control = await startControl({ clock });
  await control.call("POST", "/accounts/{account}/mtls_certificates", {
    certificates: authority.pem,
    ca: true,
  });
  const { store, edge, outbound } = control;
  const log = pino({ level: "silent" });
  await using refresh = RevocationListRefresh.idle({ store, edge, outbound, clock, log });
  const listOf = async (some: readonly TestCertificate[]) => ({
    status: 200,
    body: await authority.revoke(some, {
      thisUpdate: now,
      nextUpdate: new Date(now.getTime() + 2 * HOUR + 600_000),
    }),
  });
  const shown = async () => (await control.call("GET", path)).result[0];
  const later = async (ms: number) => {
    now = new Date(now.getTime() + ms);
    await refresh.look();
    return shown();
  };
  served = await listOf([]);
  await control.call("POST", path, { url });
  served = await listOf([robot]);
  assert.equal((await later(HOUR - 2000)).entries, 0, "not before its time");
  served = await listOf([robot]);
  assert.equal((await later(2000)).entries, 1);
  const [newest] = (await control.call("GET", "/accounts/{account}/audit_logs?per_page=1")).result;
  assert.match(JSON.stringify(newest), /client\.revocation_list/);
  served = { status: 503, body: "" };
  const failed = await later(HOUR);
  assert.match(failed.warning, /the one before is kept: .*could not be fetched/);
  assert.equal(failed.entries, 1);
  assert.equal(Date.parse(failed.next_check_on) - now.getTime(), 60_000);
  await later(60_000);
  assert.equal(Date.parse((await shown()).next_check_on) - now.getTime(), 120_000, "it backs off");
  served = await listOf([]);
  const healed = await later(120_000);
  assert.deepEqual([healed.warning, healed.entries], [null, 0]);
  // The list's own next update is due before the interval is over.
  await later(HOUR);
  const soon = await later(HOUR);
  assert.equal(Date.parse(soon.next_check_on), Date.parse(soon.next_update));
  // A clock that was 100 days ahead for a moment.
  served = { status: 503, body: "" };
  await later(100 * 24 * HOUR);
  now = new Date(now.getTime() - 100 * 24 * HOUR);
  served = await listOf([robot]);
  assert.equal((await later(0)).entries, 1, "it is fetched, and not in 100 days");
});
