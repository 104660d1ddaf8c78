import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pino } from "pino";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { loadDuring } from "./helpers/load.ts";
import { startOrigin, subjectOf, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { sealedCertificate } from "./helpers/sealed-certificate.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

type LogLine = { level: number; msg: string } & Record<string, unknown>;

let authority: TestAuthority;
let origin: TestOrigin;
let edge: TestEdge;
let held = Promise.withResolvers<void>();
const lines: LogLine[] = [];
before(async () => {
  authority = await makeAuthority();
  origin = await startOrigin({
    authority,
    handler: (request, response) => {
      if (request.url === "/hold") held.resolve();
      else response.end(JSON.stringify({ subject: subjectOf(request) }));
    },
  });
  edge = await startTestEdge({
    log: pino({}, { write: (line: string) => lines.push(JSON.parse(line) as LogLine) }),
    gateway: {
      addresses: { development: true },
      modulePath: join(import.meta.dirname, "helpers/throwing-gateway.ts"),
    },
  });
  const trusted = edge.source.setTrust({ authorities: [authority.pem], hosts: {}, proxied: [] });
  await edge.edge.applied(trusted);
});
after(async () => {
  await edge[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

test("a binding presents its certificate, through redeploys and a rotation under load", async () => {
  const certificateId = randomUUID();
  await setCertificate(certificateId, "CN=one", 1);
  await deploy("presenter", certificateId);
  assert.equal(await subjectSeen("presenter"), "CN=one");
  const result = await loadDuring(edge, "presenter.localhost", ["/"], async () => {
    await deploy("presenter", certificateId);
    await setCertificate(certificateId, "CN=two", 2);
    assert.equal(await subjectSeen("presenter"), "CN=two");
    await deploy("presenter", certificateId);
  });
  assert.deepEqual(result, { failed: [] });
});

for (const [how, ending] of [
  ["its process is killed", "await scheduler.wait(60_000)"],
  ["a connection of its own is lost", 'await (await env.CERT.fetch(url + "/cut")).text()'],
] as const) {
  test(`a GET is worked on once when ${how}: what it had sent is not sent twice`, async () => {
    const certificateId = randomUUID();
    await setCertificate(certificateId, "CN=once", 1);
    const charged: string[] = [];
    await using counting = await startOrigin({
      authority,
      handler: (request, response) => {
        if (request.method === "POST") charged.push(request.url!);
        if (request.url === "/cut") {
          response.writeHead(200, { "content-length": 1000 }).write("half");
          setTimeout(() => response.destroy(), 20);
        } else {
          response.end("ok");
        }
      },
    });
    const source = `const url = "${counting.url}"; export default { async fetch(request, env) {
      await (await env.CERT.fetch(url + "/charge", { method: "POST" })).text();
      ${ending};
    } };`;
    const bindings = [{ type: "mtls_certificate", name: "CERT", certificateId } as const];
    await edge.stageAndDeploy(makeVersion("charging", source, bindings));
    const answer = edge.fetch("charging.localhost");
    await until(() => charged.length > 0);
    if (ending.includes("wait")) process.kill(edge.worker("charging").pid!, "SIGKILL");
    const { status } = await answer;
    assert.equal(status >= 500, true, String(status));
    assert.deepEqual(charged, ["/charge"]);
  });
}

test("a gateway that is killed comes back with every certificate and binding", async () => {
  const certificateId = randomUUID();
  await setCertificate(certificateId, "CN=survivor", 1);
  await deploy("survivor", certificateId);
  assert.equal(await subjectSeen("survivor"), "CN=survivor");
  const { pid } = edge.edge.status().gateway;
  process.kill(pid!, "SIGKILL");
  await until(() => edge.edge.status().gateway.restarts === 1);
  await until(() => edge.edge.status().gateway.state === "running");
  assert.equal(await subjectSeen("survivor"), "CN=survivor");
});

test("a request that the gateway worked on when it ended is not blamed on the Worker's process", async () => {
  const certificateId = randomUUID();
  await setCertificate(certificateId, "CN=cut", 1);
  await deploy("cut", certificateId, "/hold");
  const answer = edge.fetch("cut.localhost", "/", { method: "POST", body: "once" });
  await held.promise;
  const { pid } = edge.worker("cut");
  process.kill(edge.edge.status().gateway.pid!, "SIGKILL");
  const { status, text } = await answer;
  assert.equal(status, 502);
  assert.match(text, /worker_connection_closed/);
  assert.equal(edge.worker("cut").pid, pid);
  await until(() => lines.some(({ level, msg }) => level === 50 && /gateway ended/.test(msg)));
});

test("an exception that nothing catches ends no other request of the gateway without a code", async () => {
  await until(() => edge.edge.status().gateway.state === "running");
  held = Promise.withResolvers();
  const answer = edge.fetch("cut.localhost");
  await held.promise;
  process.kill(edge.edge.status().gateway.pid!, "SIGUSR2");
  const { status, headers, text } = await answer;
  assert.deepEqual([status, headers["countersign-failure"]], [503, "edge_process_ended"], text);
  await until(() => lines.some(({ stack }) => /thrown by a test/.test(String(stack))));
});

async function setCertificate(
  certificateId: string,
  subject: string,
  version: number,
): Promise<void> {
  const certificate = sealedCertificate(await authority.issue({ subject }), {
    masterKey: MASTER_KEY,
    accountId: ACCOUNT,
    certificateId,
    name: subject,
    version,
  });
  await edge.edge.applied(edge.source.setCertificate(certificate));
}

function deploy(scriptName: string, certificateId: string, path = "/path"): Promise<void> {
  const source = `export default { fetch: (request, env) => env.CERT.fetch("${origin.url}${path}") };`;
  const bindings = [{ type: "mtls_certificate", name: "CERT", certificateId } as const];
  return edge.stageAndDeploy(makeVersion(scriptName, source, bindings));
}

async function subjectSeen(scriptName: string): Promise<string> {
  const { status, text } = await edge.fetch(`${scriptName}.localhost`);
  assert.equal(status, 200, text);
  return (JSON.parse(text) as { subject: string }).subject;
}
