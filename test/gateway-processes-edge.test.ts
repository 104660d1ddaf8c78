import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { loadDuring } from "./helpers/load.ts";
import { startOrigin, subjectOf, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform } from "./helpers/platform.ts";
import { sealedCertificate } from "./helpers/sealed-certificate.ts";
import { ACCOUNT, makeVersion, MASTER_KEY } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

let authority: TestAuthority;
let origin: TestOrigin;
let edge: TestEdge;
before(async () => {
  authority = await makeAuthority();
  origin = await startOrigin({
    authority,
    handler: (request, response) => response.end(subjectOf(request)),
  });
  edge = await startTestEdge({
    gateway: { addresses: { development: true }, logLevel: "silent", count: 3 },
  });
  const trusted = edge.source.setTrust({ authorities: [authority.pem], hosts: {}, proxied: [] });
  await edge.edge.applied(trusted);
});
after(async () => {
  await edge[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
});

test("through three gateway processes a Worker is deployed again and its certificate rotated under load", async () => {
  const certificateId = randomUUID();
  await setCertificate(certificateId, "CN=one", 1);
  await deploy("rotating", certificateId);
  const result = await loadDuring(edge, "rotating.localhost", ["/"], async () => {
    await deploy("rotating", certificateId);
    await setCertificate(certificateId, "CN=two", 2);
    for (let count = 0; count < 30; count += 1) {
      assert.equal((await edge.fetch("rotating.localhost")).text, "CN=two");
    }
    await deploy("rotating", certificateId);
  });
  assert.deepEqual(result, { failed: [] });
});

test("a Worker's requests go through the others while one gateway process is replaced", async () => {
  const certificateId = randomUUID();
  await setCertificate(certificateId, "CN=survivor", 1);
  await deploy("survivor", certificateId);
  const killed = edge.edge.status().gatewayProcesses[1]!.pid!;
  process.kill(killed, "SIGKILL");
  await until(() => edge.edge.status().gatewayProcesses[1]!.state !== "running");
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await edge.fetch("survivor.localhost")).text, "CN=survivor");
  }
  await until(() => edge.edge.status().gateway.state === "running");
  assert.deepEqual(
    edge.edge.status().gatewayProcesses.map(({ restarts }) => restarts),
    [0, 1, 0],
  );
});

test("no request of a Worker succeeds once a revocation is acknowledged, whichever process it is in", async () => {
  const certificateId = randomUUID();
  await setCertificate(certificateId, "CN=revoked", 1);
  await deploy("revoked", certificateId);
  const progress = { revoked: false, stopped: false };
  const counts = { before: 0, after: 0 };
  const pump = async (): Promise<void> => {
    while (!progress.stopped) {
      const late = progress.revoked;
      const { text, headers } = await edge.fetch("revoked.localhost");
      if (!late) counts.before += text === "CN=revoked" ? 1 : 0;
      else {
        assert.equal(headers["countersign-failure"], "certificate_revoked", text);
        counts.after += 1;
      }
    }
  };
  const pumps = Promise.all(Array.from({ length: 16 }, pump));
  await until(() => counts.before > 200);
  await setCertificate(certificateId, "CN=revoked", 1, new Date().toISOString());
  progress.revoked = true;
  await until(() => counts.after > 200);
  progress.stopped = true;
  await pumps;
});

test("countersign start --gateway-processes starts as many, and status and metrics tell of them", async () => {
  const args = ["--dev", "--gateway-processes", "2", "--metrics-port", "0"];
  await using platform = await startPlatform({ args });
  const status = await countersign(["status", "--data", platform.dataFolder, "--json"]);
  const { processes } = JSON.parse(status.stdout) as {
    processes: readonly { name: string; state: string; pid: number }[];
  };
  const gateways = processes.filter(({ name }) => name === "gateway");
  assert.deepEqual(
    gateways.map(({ state }) => state),
    ["running", "running"],
  );
  assert.notEqual(gateways[0]!.pid, gateways[1]!.pid);
  const metrics = await (await fetch(String(platform.ready.metrics))).text();
  assert.match(metrics, /^countersign_gateway_process_cpu_seconds_total /m);
  assert.equal(metrics.match(/^# HELP countersign_requests_total /gm)?.length, 1);
});

async function setCertificate(
  certificateId: string,
  subject: string,
  version: number,
  revokedOn: string | null = null,
): Promise<void> {
  const certificate = sealedCertificate(await authority.issue({ subject }), {
    masterKey: MASTER_KEY,
    accountId: ACCOUNT,
    certificateId,
    name: subject,
    version,
    revokedOn,
  });
  await edge.edge.applied(edge.source.setCertificate(certificate));
}

function deploy(scriptName: string, certificateId: string): Promise<void> {
  const source = `export default { fetch: (request, env) => env.CERT.fetch("${origin.url}/") };`;
  const bindings = [{ type: "mtls_certificate", name: "CERT", certificateId } as const];
  return edge.stageAndDeploy(makeVersion(scriptName, source, bindings));
}
