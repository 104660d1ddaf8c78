import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TLSSocket } from "node:tls";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { issueKind } from "./helpers/keys.ts";
import { openOpenssl } from "./helpers/openssl.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import {
  makeAuthority,
  selfSigned,
  type TestAuthority,
  type TestCertificate,
} from "./helpers/pki.ts";
import { startPlatform, type Envelope, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

let authority: TestAuthority;
let origin: TestOrigin;
let dataFolder: string;
let platform: TestPlatform;
before(async () => {
  authority = await makeAuthority();
  origin = await startOrigin({ authority });
  dataFolder = await mkdtemp(join(tmpdir(), "countersign-in-process-"));
  platform = await startPlatform({ dataFolder });
  await upload({ certificates: authority.pem, ca: true });
});
after(async () => {
  await platform[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  await rm(dataFolder, { recursive: true, force: true });
});

test("a binding's mode is set and listed, and survives a deploy, a rotation and a restart", async () => {
  const id = await certificate("CN=first");
  await deploy("shop", id);
  const set = await cli("binding", "set", "shop", "CERT", "--in-process");
  assert.equal(set.status, 0, set.stderr);
  assert.match(set.stdout, /shop presents .* in its own process/);
  await presentsInProcess("shop", "CN=first");

  await deploy("shop", id);
  await presentsInProcess("shop", "CN=first");

  const second = await authority.issue({ subject: "CN=second" });
  assert.equal((await rotate(id, second.chain, second.key)).success, true);
  await presentsInProcess("shop", "CN=second");

  await platform.end("SIGKILL");
  platform = await startPlatform({ dataFolder, token: platform.ready.token });
  await presentsInProcess("shop", "CN=second");

  const listed = await cli("binding", "list", "shop", "--json");
  assert.deepEqual(JSON.parse(listed.stdout), [
    { name: "CERT", certificate_id: id, mode: "in-process" },
  ]);
  const back = await cli("binding", "set", "shop", "CERT", "--gateway", "--json");
  assert.equal((JSON.parse(back.stdout) as { mode: string }).mode, "gateway");
  assert.equal(await subjectSeen("shop"), "CN=second");
  assert.equal(await isInProcess("shop"), false);
});

test("a revoked certificate is not presented in-process, and the Worker learns why", async () => {
  const id = await certificate("CN=withdrawn");
  await deploy("withdrawn", id);
  await setInProcess("withdrawn");
  await presentsInProcess("withdrawn", "CN=withdrawn");
  const path = `/accounts/{account}/countersign/certificates/${id}/revoke`;
  assert.equal((await platform.api("POST", path, {})).status, 200);
  const { headers } = await platform.worker("withdrawn");
  assert.equal(headers["countersign-failure"], "certificate_revoked");
});

test("a key that workerd cannot present is refused when the mode is set, and at a deploy", async () => {
  const { pem, key } = await issueKind(authority, "EC P-521");
  const id = await upload({ certificates: pem, private_key: key, ca: false });
  await deploy("odd", id);
  const set = await cli("binding", "set", "odd", "CERT", "--in-process", "--json");
  assert.equal(set.status, 1);
  assert.equal(codeOf(set), "in_process_key_unsupported");

  const good = await certificate("CN=good");
  await deploy("odd", good);
  await setInProcess("odd");
  const refused = await put("odd", id);
  assert.match(refused.errors[0]!.message, /in-process.*EC P-521/);
  await presentsInProcess("odd", "CN=good");
});

test("a rotation to such a key is refused while a binding is in-process, and only then", async () => {
  const id = await certificate("CN=steady");
  await deploy("steady", id);
  await setInProcess("steady");
  const { pem, key } = await issueKind(authority, "EC P-521");
  const refused = await rotate(id, pem, key);
  assert.match(refused.errors[0]!.message, /EC P-521/);
  await presentsInProcess("steady", "CN=steady");
  await cli("binding", "set", "steady", "CERT", "--gateway");
  assert.equal((await rotate(id, pem, key)).success, true);
});

test("a certificate with allowed hosts is not presented in-process, and cannot get them there", async () => {
  const id = await certificate("CN=limited");
  const path = `/accounts/{account}/countersign/certificates/${id}`;
  await deploy("limited", id);
  await setInProcess("limited");
  const limit = { allowed_hosts: ["localhost"] };
  assert.equal((await platform.api("PATCH", path, limit)).status, 409);
  await cli("binding", "set", "limited", "CERT", "--gateway");
  assert.equal((await platform.api("PATCH", path, limit)).status, 200);
  const set = await cli("binding", "set", "limited", "CERT", "--in-process", "--json");
  assert.equal(codeOf(set), "in_process_hosts_limited");
});

test("origins that are trusted as themselves are left to the gateway, and by nobody else", async () => {
  const id = await certificate("CN=pinned");
  await deploy("pinned", id);
  await setInProcess("pinned");
  await presentsInProcess("pinned", "CN=pinned");
  const own = await selfSigned("pinned.example");
  const anchor = await upload({ certificates: own.pem, ca: true });
  await until(async () => !(await isInProcess("pinned")));
  assert.equal(await subjectSeen("pinned"), "CN=pinned");
  await platform.api("DELETE", `/accounts/{account}/mtls_certificates/${anchor}`);
  await presentsInProcess("pinned", "CN=pinned");
});

test("a certificate of X.509 version 1 is left to the gateway, and its warning stays to be seen", async () => {
  await using openssl = await openOpenssl();
  await openssl.write("ca.pem", authority.pem);
  await openssl.write("ca.key", authority.keyPem);
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await openssl.run(["req", ...ec, "-keyout", "key", "-subj", "/CN=old", "-out", "csr"]);
  const issue = ["x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
  // OpenSSL 3.4 and later write version 3 unless told otherwise.
  const old = ["-set_serial", "7", "-days", "60"];
  const pem = await openssl
    .run([...issue, ...old, "-x509v1"])
    .catch(() => openssl.run([...issue, ...old]));
  const key = await openssl.read("key");
  const id = await upload({ certificates: pem, private_key: key, ca: false });
  await deploy("old", id);
  await setInProcess("old");
  assert.equal(await subjectSeen("old"), "CN=old");
  assert.equal(await isInProcess("old"), false);
  const warning = /X\.509 version 1.*an in-process binding leaves it to the gateway/;
  assert.match((await cli("certificate", "list")).stdout, warning);
  assert.match((await cli("certificate", "show", id)).stdout, warning);
  assert.match((await cli("doctor")).stdout, warning);
});

test("certificates without a subject are presented, and met, in-process; an origin's odd ones end nothing", async (t) => {
  const { chain, key } = await authority.issue({ subject: "", uris: ["spiffe://example.org/a"] });
  const id = await upload({ certificates: chain, private_key: key, ca: false });
  const servers = {
    unnamed: await authority.issue({ subject: "", dns: ["localhost"] }),
    elsewhere: await authority.issue({ subject: "", dns: ["else.example"] }),
    undated: withDates(await authority.issue({ subject: "CN=x", dns: ["localhost"] }), "269901"),
    lettered: withDates(await authority.issue({ subject: "CN=x", dns: ["localhost"] }), "26XX01"),
  };
  const seen: string[] = [];
  const ports: Record<string, number> = {};
  for (const [name, { chain: cert, key: own }] of Object.entries(servers)) {
    const server = createServer({ cert, key: own, ca: authority.pem, requestCert: true }, (to) => {
      const client = (to.socket as TLSSocket).getPeerX509Certificate();
      seen.push(`${name} ${client?.subject ?? "no subject"} ${client?.subjectAltName}`);
    });
    server.on("request", (_, response) => response.end("met"));
    await once(server.listen(0, "127.0.0.1"), "listening");
    t.after(() => server.close());
    ports[name] = (server.address() as AddressInfo).port;
  }
  const code = `export default { fetch: (request, env) => env.CERT.fetch(
    "https://localhost:" + new URL(request.url).pathname.slice(1),
  ).catch((error) => new Response(String(error), { status: 599 })) };`;
  await deploy("unnamed", id, code);
  await setInProcess("unnamed");
  const statusAt = async (name: string) =>
    (await platform.worker("unnamed", `/${ports[name]}`)).status;
  for (const name of ["elsewhere", "undated", "lettered"])
    assert.equal(await statusAt(name), 599, name);
  assert.equal(await statusAt("unnamed"), 200);
  assert.deepEqual(seen, ["unnamed no subject URI:spiffe://example.org/a"]);
  assert.doesNotMatch(platform.log(), /"script":"unnamed".*(killed by|exited with)/);
});

test("a binding that is not there is refused, and so is a command line that chooses nothing", async () => {
  await deploy("small", await certificate("CN=small"));
  const missing = await cli("binding", "set", "small", "OTHER", "--in-process", "--json");
  assert.equal(codeOf(missing), "binding_not_found");
  assert.equal((await cli("binding", "set", "small", "CERT")).status, 2);
  const absent = await cli("binding", "list", "nobody", "--json");
  assert.equal(codeOf(absent), "script_not_found");
});

test("with --no-in-process every binding is back at the gateway, for good, and none leaves it", async () => {
  const id = await certificate("CN=kept");
  await deploy("kept", id);
  await setInProcess("kept");
  await presentsInProcess("kept", "CN=kept");
  const { token } = platform.ready;
  await platform.end("SIGTERM");
  platform = await startPlatform({ dataFolder, token, args: ["--dev", "--no-in-process"] });
  assert.equal(await subjectSeen("kept"), "CN=kept");
  assert.equal(await isInProcess("kept"), false);
  assert.match(platform.log(), /--no-in-process: the binding is back at the gateway/);
  const set = await cli("binding", "set", "kept", "CERT", "--in-process", "--json");
  assert.equal(codeOf(set), "in_process_forbidden");
  await deploy("kept", id);
  assert.equal(await isInProcess("kept"), false);
  const verified = await cli("audit", "verify");
  assert.equal(verified.status, 0, verified.stderr);
  // The mode was put back in the store, not only overruled.
  await platform.end("SIGTERM");
  platform = await startPlatform({ dataFolder, token });
  assert.equal(await isInProcess("kept"), false);
});

async function certificate(subject: string): Promise<string> {
  const { chain, key } = await authority.issue({ subject });
  return upload({ certificates: chain, private_key: key, ca: false });
}

async function upload(body: object): Promise<string> {
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
  assert.equal(json.success, true, JSON.stringify(json.errors));
  return (json.result as { id: string }).id;
}

async function rotate(id: string, certificates: string, key: string): Promise<Envelope> {
  const path = `/accounts/{account}/countersign/certificates/${id}/versions`;
  return (await platform.api("POST", path, { certificates, private_key: key })).json;
}

async function put(script: string, id: string, own?: string): Promise<Envelope> {
  const code =
    own ??
    `export default { fetch: (request, env) => env.CERT.fetch(
    request.url.endsWith("/plain") ? "http://localhost:1" : "${origin.url}/path",
  ) };`;
  const bindings = [{ type: "mtls_certificate", name: "CERT", certificate_id: id }];
  const form = scriptForm(
    { bindings, compatibility_date: "2026-11-01" },
    { "index.js": ["application/javascript+module", code] },
  );
  return (await platform.api("PUT", `/accounts/{account}/workers/scripts/${script}`, form)).json;
}

async function deploy(script: string, id: string, code?: string): Promise<void> {
  const { success, errors } = await put(script, id, code);
  assert.equal(success, true, JSON.stringify(errors));
}

/** The year, month and day in the place of both dates: six characters. The signature breaks with them. */
function withDates({ key, chain }: TestCertificate, day: string): TestCertificate {
  const der = new X509Certificate(chain).raw;
  const UTC_TIME = Buffer.from([0x17, 13]);
  const first = der.indexOf(UTC_TIME);
  for (const at of [first, der.indexOf(UTC_TIME, first + 15)]) der.write(day, at + 2, "latin1");
  const pem = `-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----\n`;
  return { key, chain: pem } as TestCertificate;
}

async function setInProcess(script: string): Promise<void> {
  const { status, stderr } = await cli("binding", "set", script, "CERT", "--in-process");
  assert.equal(status, 0, stderr);
}

async function presentsInProcess(script: string, subject: string): Promise<void> {
  assert.equal(await subjectSeen(script), subject);
  assert.equal(await isInProcess(script), true);
}

/** Only the gateway says why it refuses `http://`. */
async function isInProcess(script: string): Promise<boolean> {
  const { status, headers } = await platform.worker(script, "/plain");
  assert.notEqual(status, 200);
  return headers["countersign-failure"] === undefined;
}

async function subjectSeen(script: string): Promise<string> {
  const { status, body } = await platform.worker(script);
  assert.equal(status, 200, body);
  return (JSON.parse(body) as { subject: string }).subject;
}

function cli(...argv: readonly string[]): Promise<CliRun> {
  return countersign([...argv, "--data", dataFolder]);
}

function codeOf({ stdout }: CliRun): string {
  return (JSON.parse(stdout) as { error: { code: string } }).error.code;
}
