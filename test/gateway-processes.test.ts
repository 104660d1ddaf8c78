import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import type { AddressInfo } from "node:net";
import type { CertificateVersion } from "../src/contract/change-feed.ts";
import type { StartGatewayOptions } from "../src/gateway/start-options.ts";
import { bindDatabase, databaseConfig, pgClient } from "./helpers/databases.ts";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin, subjectOf } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPostgres, withoutPostgres } from "./helpers/postgres.ts";
import { until } from "./helpers/until.ts";

const COUNT = 3;

test("a revocation under load is in force in every process when it returns", async (t) => {
  const { gateway, url, certificate } = await ready(t);
  const progress = { revoked: false, stopped: false };
  const counts = { before: 0, after: 0 };
  const pump = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true });
    while (!progress.stopped) {
      const after = progress.revoked;
      const { status, headers } = await ask(gateway.socket(), url, { agent });
      if (after) assert.equal(headers["countersign-failure"], "certificate_revoked");
      else if (status === 200) counts.before += 1;
      if (after) counts.after += 1;
    }
    agent.destroy();
  };
  const pumps = Promise.all(Array.from({ length: 24 }, pump));
  await until(() => counts.before > 300);
  await gateway.handle.setCertificate({ ...certificate, revokedOn: new Date().toISOString() });
  progress.revoked = true;
  await until(() => counts.after > 300);
  progress.stopped = true;
  await pumps;
  await inEach(gateway, async () => {
    const { headers } = await ask(gateway.socket(), url);
    assert.equal(headers["countersign-failure"], "certificate_revoked");
  });
});

test("each process has every certificate, trust and rotation, and presents the new version", async (t) => {
  const { gateway, url, authority } = await ready(t);
  await inEach(gateway, async () => {
    assert.equal((await ask(gateway.socket(), url)).json().subject, "CN=one");
  });
  const two = await authority.issue({ subject: "CN=two" });
  await gateway.handle.setCertificate(edgeCertificate(two, { version: 2, sealedId: "c/2" }));
  await inEach(gateway, async () => {
    assert.equal((await ask(gateway.socket(), url)).json().subject, "CN=two");
  });
  await gateway.handle.setTrust("a", { authorities: [], hosts: {}, proxied: [] });
  await inEach(gateway, async () => {
    const { headers } = await ask(gateway.socket(), url);
    assert.equal(headers["countersign-failure"], "origin_certificate_unknown_ca");
  });
});

test("a process that is killed is replaced alone, and the others answer meanwhile", async (t) => {
  const { gateway, url } = await ready(t);
  const before = pids(gateway);
  process.kill(before[1]!, "SIGKILL");
  await until(() => gateway.handle.processes()[1]!.state !== "running");
  for (let count = 0; count < 20; count += 1) {
    assert.equal((await ask(gateway.socket(), url)).status, 200);
  }
  await until(() => gateway.handle.status().state === "running");
  const after = pids(gateway);
  assert.deepEqual([after[0], after[2]], [before[0], before[2]]);
  assert.notEqual(after[1], before[1]);
  assert.equal(gateway.handle.status().restarts, 1);
  await inEach(gateway, async () => {
    assert.equal((await ask(gateway.socket(), url)).json().subject, "CN=one");
  });
});

test("what is revoked while a process is being replaced is revoked in the new one", async (t) => {
  const { gateway, url, certificate } = await ready(t);
  process.kill(pids(gateway)[0]!, "SIGKILL");
  await gateway.handle.setCertificate({ ...certificate, revokedOn: new Date().toISOString() });
  await until(() => gateway.handle.status().state === "running");
  await inEach(gateway, async () => {
    const { headers } = await ask(gateway.socket(), url);
    assert.equal(headers["countersign-failure"], "certificate_revoked");
  });
});

test("requests that come while no process runs wait for the next one", async (t) => {
  const { gateway, url } = await ready(t);
  for (const pid of pids(gateway)) process.kill(pid, "SIGKILL");
  await until(() => gateway.handle.processes().every(({ state }) => state !== "running"));
  assert.equal((await ask(gateway.socket(), url)).status, 200);
});

test("metrics are the sum of all processes, and do not fall when one ends", async (t) => {
  const { gateway, url } = await ready(t);
  await inEach(gateway, async () => {
    for (let count = 0; count < 4; count += 1) await ask(gateway.socket(), url);
  });
  assert.equal(await metric(gateway, 'countersign_requests_total{.*status="2xx"}'), 12);
  assert.equal(await metric(gateway, "countersign_request_seconds_count{.*}"), 12);
  assert.equal(await metric(gateway, 'countersign_handshakes_total{result="full"}'), 12);
  const expiry = await metric(gateway, "countersign_certificate_expiry_timestamp_seconds{.*}");
  assert.ok(expiry < 2 * (Date.now() / 1000), `${expiry} is one certificate's, not a sum`);
  process.kill(pids(gateway)[2]!, "SIGKILL");
  await until(() => gateway.handle.processes()[2]!.state !== "running");
  assert.equal(await metric(gateway, 'countersign_requests_total{.*status="2xx"}'), 12);
  await until(() => gateway.handle.status().state === "running");
  await inEach(gateway, () => ask(gateway.socket(), url));
  assert.equal(await metric(gateway, 'countersign_requests_total{.*status="2xx"}'), 15);
});

test("a Worker's share of connect() is what all processes together give it, and no more", async (t) => {
  const { gateway, authority } = await ready(t, { streams: 5 });
  const port = await silentServer(t, authority);
  const open: Duplex[] = [];
  t.after(() => open.forEach((socket) => socket.destroy()));
  await inEach(gateway, async () => {
    for (let count = 0; count < 5; count += 1) {
      const { socket, failure } = await tunnel(gateway, port);
      if (failure === undefined) open.push(socket);
      else assert.equal(failure, "connect_streams_exhausted");
    }
  });
  assert.equal(open.length, 5);
});

test("connections of Workers to a binding are limited over all processes", async (t) => {
  const { gateway, url } = await ready(t, { bindingConnections: 6 });
  let served = 0;
  await inEach(gateway, async () => {
    for (let count = 0; count < 6; count += 1) {
      // Its connection stays open.
      const agent = new Agent({ keepAlive: true });
      t.after(() => agent.destroy());
      const { status, headers } = await ask(gateway.socket(), url, { agent });
      if (status === 200) served += 1;
      else assert.equal(headers["countersign-failure"], "binding_connections_exhausted");
    }
  });
  assert.equal(served, 6);
  await assert.rejects(
    testGateway(t, { count: COUNT, connections: 2 }),
    /connections: 2 cannot be shared by 3 processes/,
  );
});

test("a handshake test asks one process, and its origin sees one connection", async (t) => {
  const { gateway, url, connections } = await ready(t);
  const report = await gateway.handle.testHandshake("a", "c", url);
  assert.equal(report.verdict.ok, true);
  assert.equal(connections(), 1);
});

test("a Worker learns at any process why connect() failed at another", async (t) => {
  const { gateway, url } = await ready(t);
  const port = Number(new URL(url).port);
  const trustNobody = { authorities: [], hosts: {}, proxied: [] };
  await gateway.handle.setTrust("a", trustNobody);
  await inOne(gateway, 0, async () => void (await tunnel(gateway, port)).socket.destroy());
  const asked = `http://connect.countersign.invalid/localhost:${port}`;
  const answers = await Promise.all(Array.from({ length: 60 }, () => ask(gateway.socket(), asked)));
  const codes = new Set(answers.map(({ headers }) => headers["countersign-failure"]));
  assert.deepEqual([...codes], ["origin_certificate_unknown_ca"]);
});

test("a binding that is closed is gone in every process, and may be opened again", async (t) => {
  const { gateway, url } = await ready(t);
  const binding = await gateway.bind();
  await gateway.handle.closeBinding(binding.socketPath);
  assert.equal(existsSync(gateway.socket()), false);
  await assert.rejects(ask(gateway.socket(), url), { code: "ENOENT" });
  await gateway.bind();
  await inEach(gateway, async () => {
    assert.equal((await ask(gateway.socket(), url)).status, 200);
  });
});

test(
  "a configuration's connections to its database are as many as it says, over all processes",
  { skip: withoutPostgres },
  async (t) => {
    const { gateway, authority } = await ready(t);
    const server = await startPostgres(t, authority, { rules: ["hostssl all all all trust"] });
    const config = databaseConfig({ port: server.port, connectionLimit: 2 });
    for (const bindingName of ["DB", "SAME"]) await bindDatabase(gateway, config, bindingName);
    let open = 0;
    let most = 0;
    const session = async (bindingName: string): Promise<void> => {
      const client = await pgClient(gateway, {}, bindingName);
      await client.connect();
      most = Math.max(most, (open += 1));
      await client.query("select pg_sleep(0.2)");
      open -= 1;
      await client.end();
    };
    await Promise.all(Array.from({ length: 12 }, (_, i) => session(i % 2 === 0 ? "DB" : "SAME")));
    assert.equal(most, 2);
  },
);

async function ready(
  t: TestContext,
  options: Partial<StartGatewayOptions> = {},
): Promise<{
  gateway: TestGateway;
  authority: TestAuthority;
  certificate: CertificateVersion;
  url: string;
  connections: () => number;
}> {
  const authority = await makeAuthority();
  const origin = await startOrigin({
    authority,
    handler: (request, response) => {
      // Each request makes a handshake, in whichever process handles it.
      response.setHeader("connection", "close");
      response.end(JSON.stringify({ subject: subjectOf(request) }));
    },
  });
  t.after(() => origin[Symbol.asyncDispose]());
  let connections = 0;
  origin.server.on("secureConnection", () => (connections += 1));
  const gateway = await testGateway(t, { count: COUNT, resumption: false, ...options });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const certificate = edgeCertificate(await authority.issue({ subject: "CN=one" }));
  await gateway.handle.setCertificate(certificate);
  await gateway.bind();
  return { gateway, authority, certificate, url: `${origin.url}/`, connections: () => connections };
}

function pids(gateway: TestGateway): number[] {
  return gateway.handle.processes().map(({ pid }) => pid!);
}

/** Only this process can accept, because all others are stopped. */
async function inOne<T>(gateway: TestGateway, index: number, task: () => Promise<T>): Promise<T> {
  const others = pids(gateway).filter((_, at) => at !== index);
  for (const pid of others) process.kill(pid, "SIGSTOP");
  try {
    return await task();
  } finally {
    for (const pid of others) process.kill(pid, "SIGCONT");
  }
}

async function inEach(gateway: TestGateway, task: () => Promise<unknown>): Promise<void> {
  for (let index = 0; index < COUNT; index += 1) await inOne(gateway, index, task);
}

async function metric(gateway: TestGateway, pattern: string): Promise<number> {
  const text = await gateway.handle.metrics();
  const found = new RegExp(`^${pattern} (\\S+)$`, "m").exec(text);
  assert.ok(found, `${pattern} in ${text}`);
  return Number(found[1]);
}

async function tunnel(
  gateway: TestGateway,
  port: number,
): Promise<{ socket: Duplex; failure: unknown }> {
  const request = httpRequest({
    socketPath: gateway.socket(),
    method: "CONNECT",
    path: `localhost:${port}`,
    setHost: false,
    agent: false,
  });
  request.end();
  const [response, socket] = (await once(request, "connect")) as [IncomingMessage, Duplex];
  socket.on("error", () => {});
  return { socket, failure: response.headers["countersign-failure"] };
}

async function silentServer(t: TestContext, authority: TestAuthority): Promise<number> {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const server = createTlsServer(
    { key, cert: chain, ca: authority.pem, requestCert: true },
    (socket) => void socket.on("error", () => {}),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
