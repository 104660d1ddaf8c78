import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createServer as createPlainServer } from "node:http";
import { join } from "node:path";
import type { AddressInfo } from "node:net";
import { createServer } from "node:tls";
import { after, before, test } from "node:test";
import type { CertificateVersion } from "../src/contract/change-feed.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { loadDuring } from "./helpers/load.ts";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority, type TestCertificate } from "./helpers/pki.ts";
import { sealedCertificate } from "./helpers/sealed-certificate.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let authority: TestAuthority;
let origin: TestOrigin;
let edge: TestEdge;
before(async () => {
  authority = await makeAuthority();
  origin = await startOrigin({ authority });
  edge = await startTestEdge({ gateway: { logLevel: "silent", addresses: { development: true } } });
  await trust([authority.pem]);
});
after(async () => {
  await edge[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

test("the certificate is presented by the Worker's own process", async () => {
  const certificateId = await newCertificate("CN=own");
  await deploy("own", certificateId);
  const { pid } = edge.edge.status().gateway;
  process.kill(pid!, "SIGSTOP");
  try {
    const signal = AbortSignal.timeout(10_000);
    const { text } = await edge.fetch("own.localhost", "/", { signal });
    assert.match(text, /CN=own/);
  } finally {
    process.kill(pid!, "SIGCONT");
  }
});

test("a rotation is in force without a deploy, and under load no request is lost", async () => {
  const certificateId = await newCertificate("CN=one");
  await deploy("rotated", certificateId);
  assert.equal(await subjectSeen("rotated"), "CN=one");
  const result = await loadDuring(edge, "rotated.localhost", ["/"], async () => {
    for (const [subject, version] of [["CN=two", 2] as const, ["CN=three", 3] as const]) {
      await setCertificate(certificateId, { subject, version });
      assert.equal(await subjectSeen("rotated"), subject);
    }
  });
  assert.deepEqual(result, { failed: [] });
});

test("a process that ends comes back with the certificate", async () => {
  await deploy("ended", await newCertificate("CN=ended"));
  process.kill(edge.worker("ended").pid!, "SIGKILL");
  await until(
    () => edge.worker("ended").restarts === 1 && edge.worker("ended").state === "running",
  );
  assert.equal(await subjectSeen("ended"), "CN=ended");
});

test("no process presents a revoked certificate any more, and the Worker learns why", async () => {
  const certificateId = await newCertificate("CN=revoked");
  await deploy("revoked", certificateId);
  assert.equal(await subjectSeen("revoked"), "CN=revoked");
  const { pid } = edge.worker("revoked");
  const revokedOn = "2026-11-23T00:00:00Z";
  await setCertificate(certificateId, { subject: "CN=revoked", version: 1, revokedOn });
  assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  assert.equal(await failureSeen("revoked"), "certificate_revoked");
  await setCertificate(certificateId, { subject: "CN=renewed", version: 2 });
  assert.equal(await subjectSeen("revoked"), "CN=renewed");
});

test("revoking an old version stops the processes that still drain with it", async () => {
  const certificateId = await newCertificate("CN=old");
  await deploy("drained", certificateId);
  const { pid } = edge.worker("drained");
  const held = edge.fetch("drained.localhost", "/?wait");
  held.catch(() => {});
  await until(() => origin.subjects.includes("CN=old"));
  await setCertificate(certificateId, { subject: "CN=new", version: 2 });
  process.kill(pid!, 0);
  await setCertificate(certificateId, { subject: "CN=new", version: 2, revokedVersions: [1] });
  assert.throws(() => process.kill(pid!, 0), { code: "ESRCH" });
  assert.equal(await subjectSeen("drained"), "CN=new");
});

test("a certificate that expires while its process runs is not presented any more", async () => {
  const certificateId = randomUUID();
  let pid: number | null = null;
  // On a busy machine the certificate may expire before its process has started, so its lifetime is doubled until it
  // works.
  for (let [life, version] = [4_500, 1]; ; [life, version] = [life * 2, version + 1]) {
    const notAfter = new Date(Date.now() + life);
    await setCertificate(certificateId, { subject: "CN=brief", version, notAfter });
    if (version === 1) await deploy("brief", certificateId);
    ({ pid } = edge.worker("brief"));
    const { text } = await edge.fetch("brief.localhost");
    if (text.includes("CN=brief")) break;
    assert.ok(life < 20_000, text);
  }
  await until(() => edge.edge.status().workers.every((worker) => worker.pid !== pid));
  assert.equal(await failureSeen("brief"), "certificate_expired");
});

test("another trust is in force without a deploy", async () => {
  const other = await makeAuthority("Other");
  await using stranger = await startOrigin({
    authority: other,
    tls: { ca: [authority.pem, other.pem] },
  });
  await deploy("trusting", await newCertificate("CN=trusting"), stranger.url);
  assert.equal((await edge.fetch("trusting.localhost")).status, 500);
  await trust([authority.pem, other.pem]);
  assert.equal(await subjectSeen("trusting"), "CN=trusting");
  await trust([authority.pem]);
  assert.equal((await edge.fetch("trusting.localhost")).status, 500);
});

test("where CAs are tied to the certificate, no other counts", async () => {
  const other = await makeAuthority("Tied");
  const certificateId = randomUUID();
  const wanted = { subject: "CN=tied", version: 1 };
  await setCertificate(certificateId, { ...wanted, trust: [other.pem] });
  await deploy("tied", certificateId);
  assert.equal((await edge.fetch("tied.localhost")).status, 500);
  await setCertificate(certificateId, { ...wanted, trust: [other.pem, authority.pem] });
  assert.equal(await subjectSeen("tied"), "CN=tied");
});

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  test(`an origin that was not verified does not see the certificate, on ${version}`, async (t) => {
    const other = await makeAuthority("Unknown");
    const { key, chain } = await other.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const seen: (string | undefined)[] = [];
    const server = createServer(
      {
        key,
        cert: chain,
        minVersion: version,
        maxVersion: version,
        requestCert: true,
        rejectUnauthorized: false,
      },
      (socket) => {
        seen.push(socket.getPeerX509Certificate()?.subject);
        socket.on("error", () => {}).destroy();
      },
    );
    const failed = new Promise((resolve) => server.once("tlsClientError", resolve));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const name = `careful-${version.at(-1)}`;
    await deploy(name, await newCertificate("CN=careful"), `https://localhost:${port}`);
    assert.equal((await edge.fetch(`${name}.localhost`)).status, 500);
    await failed;
    assert.deepEqual(seen, []);
  });
}

test("the private key is in no file, command line or environment", async () => {
  const certificateId = randomUUID();
  const { key } = await setCertificate(certificateId, { subject: "CN=secret", version: 1 });
  await deploy("secret", certificateId);
  assert.equal(await subjectSeen("secret"), "CN=secret");
  const needles = [key.split("\n")[1]!, "PRIVATE KEY"];
  const files = await filesIn(edge.runDirectory);
  const config = files.filter((file) => file.endsWith("config.capnp"));
  assert.ok(config.length > 0);
  const { pid } = edge.worker("secret");
  for (const file of [...files, `/proc/${pid}/cmdline`, `/proc/${pid}/environ`]) {
    const content = await readFile(file);
    for (const needle of needles) assert.ok(!content.includes(needle), file);
  }
});

test("what is given up: http:// goes out, in clear and without the certificate", async (t) => {
  const server = createPlainServer((_, response) => response.end('{"subject":"none"}'));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close().closeAllConnections());
  const { port } = server.address() as AddressInfo;
  await deploy("plain", await newCertificate("CN=plain"), `http://localhost:${port}`);
  assert.equal(await subjectSeen("plain"), "none");
});

test("without development, this machine and link-local addresses are not reached", async () => {
  await using strict = await startTestEdge({ gateway: { logLevel: "silent" } });
  await strict.edge.applied(
    strict.source.setTrust({ authorities: [authority.pem], hosts: {}, proxied: [] }),
  );
  const certificateId = randomUUID();
  const certificate = await edgeCertificate(certificateId, { subject: "CN=strict", version: 1 });
  await strict.edge.applied(strict.source.setCertificate(certificate));
  await strict.stageAndDeploy(versionOf("strict", certificateId, origin.url));
  const count = origin.subjects.length;
  assert.equal((await strict.fetch("strict.localhost")).status, 500);
  assert.equal(origin.subjects.length, count);
});

interface Wanted {
  readonly subject: string;
  readonly version: number;
  readonly notAfter?: Date;
  readonly revokedOn?: string;
  readonly revokedVersions?: readonly number[];
  readonly trust?: readonly string[];
}

async function newCertificate(subject: string): Promise<string> {
  const certificateId = randomUUID();
  await setCertificate(certificateId, { subject, version: 1 });
  return certificateId;
}

async function setCertificate(certificateId: string, wanted: Wanted): Promise<TestCertificate> {
  const issued = await issue(wanted);
  const certificate = sealed(certificateId, wanted, issued);
  await edge.edge.applied(edge.source.setCertificate(certificate));
  return issued;
}

async function edgeCertificate(certificateId: string, wanted: Wanted): Promise<CertificateVersion> {
  return sealed(certificateId, wanted, await issue(wanted));
}

function issue({ subject, notAfter }: Wanted): Promise<TestCertificate> {
  return authority.issue({ subject, ...(notAfter && { notAfter }) });
}

function sealed(
  certificateId: string,
  { subject, version, revokedOn, revokedVersions = [], trust: tied }: Wanted,
  issued: TestCertificate,
): CertificateVersion {
  return sealedCertificate(issued, {
    masterKey: MASTER_KEY,
    accountId: ACCOUNT,
    certificateId,
    name: subject,
    version,
    trust: tied ?? null,
    revokedOn: revokedOn ?? null,
    revokedVersions,
  });
}

function trust(authorities: readonly string[]): Promise<void> {
  return edge.edge.applied(edge.source.setTrust({ authorities, hosts: {}, proxied: [] }));
}

function deploy(scriptName: string, certificateId: string, url = origin.url): Promise<void> {
  return edge.stageAndDeploy(versionOf(scriptName, certificateId, url));
}

function versionOf(
  scriptName: string,
  certificateId: string,
  url: string,
): ReturnType<typeof makeVersion> {
  const source = `export default { async fetch(request, env) {
    const response = await env.CERT.fetch("${url}/path");
    if (request.url.endsWith("?wait")) await scheduler.wait(60_000);
    return response;
  } };`;
  const binding = { type: "mtls_certificate", name: "CERT", certificateId } as const;
  return makeVersion(scriptName, source, [{ ...binding, mode: "in-process" }]);
}

async function subjectSeen(scriptName: string): Promise<string> {
  const { status, text } = await edge.fetch(`${scriptName}.localhost`);
  assert.equal(status, 200, text);
  return (JSON.parse(text) as { subject: string }).subject;
}

async function failureSeen(scriptName: string): Promise<unknown> {
  const { headers } = await edge.fetch(`${scriptName}.localhost`);
  return headers["countersign-failure"];
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
}
