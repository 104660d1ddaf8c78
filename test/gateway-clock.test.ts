import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, type Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { defaultOptions } from "../src/contract/gateway-options.ts";
import { Gateway } from "../src/gateway/gateway.ts";
import type { PoolScope } from "../src/gateway/origin/pool.ts";
import { Pools } from "../src/gateway/origin/pools.ts";
import { Keyring } from "../src/keys/seal.ts";
import { FakeClock } from "./helpers/fake-clock.ts";
import { ask, edgeCertificate, masterKey } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

const HOUR = 3_600_000;

test("a connection lives until the moment its certificate ends, and not longer", async (t) => {
  const { clock, gateway, socketPath, url } = await ready(t);
  const tunnel = await connect(socketPath, new URL(url).host);
  clock.advance(HOUR - 2_000);
  await settle();
  assert.equal(tunnel.destroyed, false);
  clock.advance(2_000);
  await once(tunnel, "close");
  const answer = await ask(socketPath, url);
  assert.equal(answer.headers["countersign-failure"], "certificate_expired");
  assert.deepEqual(gateway.pools.all(), []);
});

test("a binding that is closed lets what is in flight go on for the time to drain, and not longer", async (t) => {
  const { clock, gateway, socketPath, url } = await ready(t);
  const tunnel = await connect(socketPath, new URL(url).host);
  const closed = gateway.closeBinding(socketPath);
  clock.advance(defaultOptions.timeouts.drain - 1);
  await settle();
  assert.equal(tunnel.destroyed, false);
  clock.advance(1);
  await closed;
  if (!tunnel.closed) await once(tunnel, "close");
});

test("a route that nobody uses is let go of at the second sweep", async (t) => {
  const { clock, gateway, socketPath, url } = await ready(t);
  const tunnel = await connect(socketPath, new URL(url).host);
  tunnel.destroy();
  await until(() => gateway.pools.all().every(({ connections }) => connections === 0));
  clock.advance(30_000);
  assert.equal(gateway.pools.all().length, 1);
  clock.advance(30_000);
  await until(() => gateway.pools.all().length === 0);
});

test("a TLS session is resumed for ten minutes", async (t) => {
  const clock = new FakeClock(0);
  const { pool, sessions, tickets } = resuming(t, clock);
  const ticket = Buffer.from("ticket");
  for (const age of [599_999, 600_000]) {
    await pool.connect();
    tickets.at(-1)!(ticket);
    clock.advance(age);
  }
  await pool.connect();
  assert.deepEqual(sessions, [undefined, ticket, undefined]);
});

test("as many connections as come at once resume a session each, and none the same", async (t) => {
  const { pool, sessions, tickets } = resuming(t, new FakeClock(0));
  const open = async (): Promise<void> => void (await Promise.all(ALL.map(() => pool.connect())));
  await open();
  for (const [at, give] of tickets.entries()) give(Buffer.from(`ticket ${at}`));
  await open();
  assert.deepEqual(
    sessions.slice(0, ALL.length),
    ALL.map(() => undefined),
  );
  assert.equal(new Set(sessions.slice(ALL.length).map(String)).size, ALL.length);
  assert.ok(!sessions.slice(ALL.length).includes(undefined));
});

const ALL = Array.from({ length: 32 }, (_, at) => at);

/** A pool whose connections record which session they were offered, and take tickets. */
function resuming(
  t: TestContext,
  clock: FakeClock,
): {
  pool: ReturnType<Pools["acquire"]>;
  sessions: (Buffer | undefined)[];
  tickets: ((ticket: Buffer) => void)[];
} {
  const sessions: (Buffer | undefined)[] = [];
  const tickets: ((ticket: Buffer) => void)[] = [];
  const pools = new Pools(
    async (_, { session, onSession }) => {
      sessions.push(session);
      const stream = new PassThrough();
      tickets.push(onSession);
      return { stream, tlsVersion: "TLSv1.3", asked: true, resumable: true, resumed: false };
    },
    defaultOptions,
    clock,
  );
  t.after(() => pools.close());
  const credential = { certificateId: "c", version: 1, fingerprint: "f" };
  const destination = { host: "a", port: 443 };
  const trust = { id: "t" };
  const scope = { origin: "https://a", destination, credential, trust } as unknown as PoolScope;
  return { pool: pools.acquire(scope), sessions, tickets };
}

/** A gateway in this process, with a certificate that expires an hour later by its clock. */
async function ready(
  t: TestContext,
): Promise<{ clock: FakeClock; gateway: Gateway; socketPath: string; url: string }> {
  const authority = await makeAuthority();
  const origin = await startOrigin({ authority });
  const folder = await mkdtemp(join(tmpdir(), "countersign-clock-"));
  const notAfter = new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 10 * HOUR);
  const certificate = await authority.issue({ subject: "CN=client", notAfter });
  const clock = new FakeClock(notAfter.getTime() - HOUR);
  const gateway = new Gateway({
    keyring: new Keyring(masterKey),
    options: {
      ...defaultOptions,
      addresses: { allow: [], deny: [], development: true, denyLocalPorts: [] },
    },
    observer: {
      traffic: () => ({ answered: nothing, failed: nothing, details: "public" }),
      connected: nothing,
      handshakeFailed: nothing,
      connections: () => ({ details: "public", connected: nothing, failed: nothing }),
    },
    clock,
  });
  t.after(async () => {
    await gateway[Symbol.asyncDispose]();
    await origin[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });
  await gateway.setCertificate(edgeCertificate(certificate));
  gateway.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const socketPath = join(folder, "s");
  await gateway.openBinding({
    socketPath,
    accountId: "a",
    scriptName: "worker",
    bindingName: "CERT",
    certificateId: "c",
  });
  return { clock, gateway, socketPath, url: `${origin.url}/` };
}

/** `connect()` of a Worker. */
async function connect(socketPath: string, host: string): Promise<Duplex> {
  const asked = request({ socketPath, method: "CONNECT", path: host, agent: false }).end();
  const [response, socket] = (await once(asked, "connect")) as [IncomingMessage, Duplex];
  assert.equal(response.statusCode, 200);
  socket.on("error", () => {});
  socket.resume();
  return socket;
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50));
}

function nothing(): void {}
