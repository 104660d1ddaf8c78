import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import type { CertificateVersion } from "../src/contract/change-feed.ts";
import { edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin, subjectOf } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";

const ROTATIONS = Number(process.env["COUNTERSIGN_SOAK_ROTATIONS"] ?? 20);
const PUMPS = 10;

test(`${ROTATIONS} rotations under ${PUMPS} pumps: nothing fails, nothing is mixed up, all is closed`, async (t) => {
  const authority = await makeAuthority();
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      response.setHeader("x-subject", subjectOf(request));
      request.pipe(response);
    },
  });
  // Open connections, each with the certificate that it was opened with.
  const open = new Map<TLSSocket, string>();
  origin.server.on("secureConnection", (socket) => {
    open.set(socket, socket.getPeerX509Certificate()!.subject);
    socket.once("close", () => open.delete(socket));
  });
  const gateway = await testGateway(t, { metricsPort: 0, timeouts: { idle: 200 } });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const rotate = async (version: number): Promise<number> => {
    const certificate = await authority.issue({ subject: `CN=v${version}` });
    const message = edgeCertificate(certificate, { version });
    const startedAt = performance.now();
    await gateway.handle.setCertificate(message);
    return performance.now() - startedAt;
  };
  await rotate(1);
  await gateway.bind();

  let version = 1;
  const progress = { requests: 0, stopped: false };
  t.after(() => (progress.stopped = true));
  const pump = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true });
    while (!progress.stopped) {
      const body = randomBytes(1 + Math.floor(Math.random() * 100_000));
      const before = version;
      const answer = await echo(gateway, agent, `${origin.url}/`, body);
      assert.equal(answer.status, 200, answer.failure);
      assert.equal(answer.hash, createHash("sha256").update(body).digest("hex"));
      // A request made after a rotation has returned presents the new version or a later one.
      const presented = Number(answer.subject.slice("CN=v".length));
      assert.ok(
        presented >= before,
        `version ${presented} was presented when ${before} was in force`,
      );
      progress.requests += 1;
    }
    agent.destroy();
  };
  const pumps = Array.from({ length: PUMPS }, pump);
  const times: number[] = [];
  for (let next = 2; next <= ROTATIONS + 1; next += 1) {
    await underLoad(progress, PUMPS * 3);
    times.push(await rotate(next));
    version = next;
  }
  progress.stopped = true;
  await Promise.all(pumps);
  t.diagnostic(
    `${progress.requests} requests; a rotation takes ${median(times).toFixed(1)} ms under load (median), ${Math.max(...times).toFixed(1)} ms at most`,
  );
  // Connections of old versions close when they are idle, long before the idle time-out.
  const old = (): string[] => [...open.values()].filter((subject) => subject !== `CN=v${version}`);
  const patience = Date.now() + 5_000;
  while (old().length > 0 && Date.now() < patience) await setTimeout(20);
  assert.deepEqual(old(), []);
  // The last ones close after the idle time.
  while (open.size > 0 || (await gauge(gateway)) > 0) await setTimeout(20);
});

test("connections with a new version are made before it is in force, and those that no request takes are closed", async (t) => {
  const authority = await makeAuthority();
  const held: (() => void)[] = [];
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      held.push(() => {
        response.setHeader("x-subject", subjectOf(request));
        request.pipe(response);
      });
    },
  });
  const opened: string[] = [];
  const open = new Set<TLSSocket>();
  origin.server.on("secureConnection", (socket) => {
    opened.push(socket.getPeerX509Certificate()!.subject);
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const versions: CertificateVersion[] = [];
  const rotate = async (): Promise<void> => {
    const version = versions.length + 1;
    versions.push(
      edgeCertificate(await authority.issue({ subject: `CN=v${version}` }), { version }),
    );
    await gateway.handle.setCertificate(versions.at(-1)!);
  };
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  /** Six at the same time. */
  const requests = async (): Promise<readonly string[]> => {
    const sent = Array.from({ length: 6 }, () =>
      echo(gateway, agent, `${origin.url}/`, Buffer.from("x")),
    );
    await until(() => held.length === 6);
    for (const answer of held.splice(0)) answer();
    return (await Promise.all(sent)).map(({ subject }) => subject);
  };
  const of = (subject: string): number => opened.filter((one) => one === subject).length;
  await rotate();
  await gateway.bind();
  await requests();
  assert.equal(of("CN=v1"), 6);

  await rotate();
  await until(() => of("CN=v2") === 6);
  assert.deepEqual(
    await requests(),
    Array.from({ length: 6 }, () => "CN=v2"),
  );
  assert.deepEqual([of("CN=v1"), of("CN=v2")], [6, 6]);

  await rotate();
  await until(() => of("CN=v3") === 6);
  await until(() => open.size === 0);
  assert.deepEqual([...new Set(await requests())], ["CN=v3"]);

  await rotate();
  await until(() => of("CN=v4") === 6);
  await gateway.handle.setCertificate({ ...versions.at(-1)!, revokedOn: new Date().toISOString() });
  await until(() => open.size === 0);
});

/** At most for ten seconds. */
async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 1_000 && !isSo(); tries++) await setTimeout(10);
  assert.ok(isSo(), String(isSo));
}

async function underLoad(progress: { readonly requests: number }, more: number): Promise<void> {
  const reached = progress.requests + more;
  while (progress.requests < reached) await setTimeout(5);
}

async function echo(
  gateway: TestGateway,
  agent: Agent,
  url: string,
  body: Buffer,
): Promise<{ status: number; subject: string; hash: string; failure: string }> {
  const request = httpRequest({
    socketPath: gateway.socket(),
    path: url,
    method: "POST",
    setHost: false,
    agent,
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const hash = createHash("sha256");
  let failure = "";
  for await (const chunk of response) {
    hash.update(chunk);
    if (response.statusCode !== 200) failure += String(chunk);
  }
  return {
    status: response.statusCode!,
    subject: String(response.headers["x-subject"]),
    hash: hash.digest("hex"),
    failure,
  };
}

async function gauge(gateway: TestGateway): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${gateway.handle.metricsPort()}/`);
  const lines = (await response.text()).split("\n");
  return lines
    .filter((line) => line.startsWith("countersign_connections{"))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
