import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { duplexPair, type Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { readUntil } from "../../test/helpers/binding.ts";
import { Failure } from "../failures/failures.ts";
import type { BeforeHandshake, OriginPool } from "./origin/pool.ts";
import { openStream, StreamClient } from "./stream.ts";

const ACCEPTED = "HTTP/1.1 200 Connection Established\r\n\r\n";
const SSL_REQUEST = "\0\0\0\x08\x04\xd2\x16\x2f";
const STARTUP = "\0\0\0\x08\0\x03\0\0";
const NOT_TLS = new Failure("origin_not_tls");
const RESET = new Failure("origin_handshake_reset");

/** What the server does in the clear, before TLS. Null: it wants TLS at once. */
type Server = ((server: Duplex) => unknown) | null;

interface World {
  readonly client: StreamClient;
  /** The Worker's end. */
  readonly worker: Duplex;
  readonly pool: OriginPool;
  /** The connections that were made within TLS: our end, and the server's. */
  readonly made: (readonly [ours: Duplex, server: Duplex])[];
  /** Was the server spoken to in the clear? One a connection. */
  readonly asked: boolean[];
  readonly counted: () => number;
}

/** @param connections what comes of each that is made */
function world(port: number, ...connections: (Server | Failure)[]): World {
  const [worker, socket] = duplexPair({ allowHalfOpen: true });
  worker.on("error", () => {});
  const made: [Duplex, Duplex][] = [];
  const asked: boolean[] = [];
  let count = 0;
  const pool = {
    beginning: null,
    options: {
      timeouts: { handshake: 1_000 },
      postgresPorts: [5432],
      mysqlPorts: [3306],
    },
    scope: { destination: { host: "db.example", port } },
    connect: async (before?: BeforeHandshake) => {
      const next = connections.shift();
      if (next === undefined) throw new Error("one connection too many");
      asked.push(before !== undefined);
      if (next instanceof Failure) throw next;
      if (before !== undefined) {
        const [clear, server] = duplexPair({ allowHalfOpen: true });
        server.on("error", () => {});
        if (typeof next === "function") next(server);
        await before(clear as Socket);
      }
      const pair = duplexPair({ allowHalfOpen: true });
      pair[1].on("error", () => {});
      made.push(pair);
      return pair[0];
    },
  } as unknown as OriginPool;
  const client = new StreamClient(socket, () => (count += 1));
  return { client, worker, pool, made, asked, counted: () => count };
}

/** A PostgreSQL that offers TLS. */
async function offers(server: Duplex): Promise<void> {
  assert.equal(await readUntil(server, "\x2f"), String(Buffer.from(SSL_REQUEST, "latin1")));
  server.write("S");
}

async function refuses(server: Duplex): Promise<void> {
  await readUntil(server, "\x2f");
  server.write("N");
}

test("on PostgreSQL's port the server is asked for TLS, and only then the Worker has its connection", async () => {
  const { client, worker, pool, made, asked, counted } = world(5432, offers);
  const opened = openStream(client, pool);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  assert.equal(counted(), 1);
  worker.write(SSL_REQUEST, "latin1");
  assert.equal(await readUntil(worker, "S"), "S");
  worker.write(STARTUP);
  assert.equal(await opened, made[0]?.[0]);
  assert.equal(String(client.socket.read()), STARTUP);
  assert.deepEqual([asked, pool.beginning], [[true], "postgres"]);
  assert.match(String(client.tell?.(NOT_TLS)), /^E.*origin_not_tls/s);
});

test("a server without TLS on PostgreSQL's port is told before the Worker has a connection", async () => {
  const { client, pool, counted } = world(5432, refuses);
  await assert.rejects(openStream(client, pool), { code: "origin_postgres_no_tls" });
  assert.deepEqual([client.accepted, counted(), pool.beginning], [false, 0, null]);
});

test("a driver that begins TLS itself has its server's connection closed", async () => {
  const { client, worker, pool, made } = world(5432, offers);
  const opened = openStream(client, pool);
  worker.write(SSL_REQUEST, "latin1");
  assert.equal(await readUntil(worker, "S"), `${ACCEPTED}S`);
  worker.write("\x16\x03\x01");
  await assert.rejects(opened, { code: "connect_second_tls" });
  assert.equal(client.tell, null, "what is no driver's protocol is not told in it");
  assert.ok(made[0]?.[0].destroyed);
});

test("a server of TLS on any port is found at the first connection, and known at the next", async () => {
  for (const speaker of ["driver", "server"]) {
    const { client, worker, pool, made, asked, counted } = world(1, null);
    const opened = openStream(client, pool);
    assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
    if (speaker === "driver") worker.write("PING\r\n");
    else made[0]![1].write("* OK\r\n");
    assert.equal(await opened, made[0]?.[0]);
    if (speaker === "driver") assert.equal(String(client.socket.read()), "PING\r\n");
    assert.deepEqual([asked, pool.beginning, counted()], [[false], "at once", 1]);
    assert.equal(client.tell, null);
    const next = world(1, null);
    next.pool.beginning = "at once";
    assert.equal(await openStream(next.client, next.pool), next.made[0]?.[0]);
    assert.ok(next.client.accepted);
  }
});

test("what a Worker says before it ends its side reaches the server", async () => {
  const { client, worker, pool, made } = world(1, null);
  // Too few to say whether they are PostgreSQL's.
  worker.end("\0\0few");
  const upstream = await openStream(client, pool);
  assert.equal(upstream, made[0]![0]);
  assert.equal(await readUntil(made[0]![1], "few"), "\0\0few");
  const silent = world(1, null);
  silent.worker.end();
  assert.equal(await openStream(silent.client, silent.pool), silent.made[0]?.[0]);
  assert.equal(silent.pool.beginning, "at once");
});

test("a PostgreSQL on any port is known by its driver, and asked for TLS over another connection", async () => {
  const { client, worker, pool, made, asked } = world(1, null, offers);
  // In pieces, as it may come.
  worker.write(STARTUP.slice(0, 5));
  const opened = openStream(client, pool);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  worker.write(STARTUP.slice(5));
  assert.equal(await opened, made[1]?.[0]);
  assert.deepEqual([asked, pool.beginning], [[false, true], "postgres"]);
  assert.ok(made[0]?.[0].destroyed);
  assert.equal(String(client.socket.read()), STARTUP);
  assert.match(String(client.tell?.(NOT_TLS)), /^E.*origin_not_tls/s);
});

test("a server that does not understand that keeps its first connection, if that still stands", async () => {
  for (const stands of [true, false]) {
    const { client, worker, pool, made } = world(1, null, new Failure("origin_not_tls"));
    const opened = openStream(client, pool);
    assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
    if (!stands) made[0]![0].destroy();
    worker.write(STARTUP);
    if (stands) assert.equal(await opened, made[0]![0]);
    else await assert.rejects(opened, { code: "origin_not_tls" });
    assert.equal(pool.beginning, null);
    assert.match(String(client.tell?.(NOT_TLS)), /^E.*origin_not_tls/s);
  }
});

for (const first of [NOT_TLS, RESET]) {
  test(`a PostgreSQL that answers TLS with ${first.code} is found on any port`, async (t) => {
    const { client, worker, pool, made, asked } = world(1, first, offers);
    // It waits for its client: that it does not greet is seen in half a second.
    timesOutAtOnce(t, (ms) => ms >= 500 && ms < 900);
    const opened = openStream(client, pool);
    assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
    worker.write(STARTUP);
    assert.equal(await opened, made[0]?.[0]);
    assert.deepEqual([asked, pool.beginning], [[false, true], "postgres"]);
  });
}

test("a server that is neither is told as what it was at first", async () => {
  const { client, pool } = world(1, RESET, refuses);
  await assert.rejects(openStream(client, pool), (error) => error === RESET);
  assert.deepEqual([client.accepted, pool.beginning], [false, null]);
});

test("what has nothing to do with how TLS begins is not tried again", async () => {
  const known = world(1, NOT_TLS, offers);
  known.pool.beginning = "at once";
  await assert.rejects(openStream(known.client, known.pool), (error) => error === NOT_TLS);
  const refused = new Failure("origin_refused");
  const other = world(1, refused, offers);
  await assert.rejects(openStream(other.client, other.pool), (error) => error === refused);
});

test("a MySQL greets: on its port or any other it is known by that, and TLS begins as it wants", async () => {
  for (const [port, ...connections] of [
    [3306, greets()],
    [1, NOT_TLS, greets()],
  ] as const) {
    const { client, worker, pool, made, asked } = world(port, ...connections);
    const opened = openStream(client, pool);
    assert.ok((await readUntil(worker, "8.4.0")).startsWith(ACCEPTED));
    worker.write(answer());
    while (made.length === 0) await new Promise(setImmediate);
    // The server lets the driver in: OK.
    made[0]![1].write(Buffer.from([1, 0, 0, 3, 0]));
    assert.equal(await opened, made[0]![0]);
    assert.equal(pool.beginning, "mysql");
    assert.equal(asked.at(-1), true);
  }
});

test("a server on MySQL's port that does not greet wants TLS at once", async (t) => {
  const { client, worker, pool, made, asked } = world(3306, () => {});
  timesOutAtOnce(t, (ms) => ms === 1_000);
  assert.equal(await openStream(client, pool), made[0]![0]);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  assert.deepEqual([asked, pool.beginning, client.tell], [[true], "at once", null]);
});

test("a MySQL without TLS is told as such, where it was found out and on its port", async () => {
  for (const [port, ...connections] of [
    [3306, greets(0)],
    [1, NOT_TLS, greets(0)],
  ] as const) {
    const { client, pool } = world(port, ...connections);
    await assert.rejects(openStream(client, pool), { code: "origin_mysql_no_tls" });
    assert.equal(pool.beginning, null);
  }
});

test("a driver that begins TLS itself with MySQL has its server's connection closed", async () => {
  const { client, worker, pool, made } = world(3306, greets());
  const opened = openStream(client, pool);
  await readUntil(worker, "8.4.0");
  worker.write(answer(32));
  worker.write("\x16");
  await assert.rejects(opened, { code: "connect_second_tls" });
  assert.ok(made[0]?.[0].destroyed);
});

test("a Worker is told once that it has a connection", async () => {
  const { client, worker, counted } = world(1);
  client.accept();
  client.accept();
  client.socket.end();
  assert.equal(await readUntil(worker, "never"), ACCEPTED);
  assert.equal(counted(), 1);
});

function timesOutAtOnce(t: TestContext, chosen: (ms: number) => boolean): void {
  const over = AbortSignal.abort(new DOMException("", "TimeoutError"));
  const never = new AbortController().signal;
  t.mock.method(AbortSignal, "timeout", (ms: number) => (chosen(ms) ? over : never));
}

const TLS = 0x0800;

/** A MySQL server that speaks first, with what it can do. */
function greets(capabilities = TLS): (server: Duplex) => void {
  const payload = Buffer.concat([Buffer.from("\x0a8.4.0\0"), Buffer.alloc(13), Buffer.alloc(2)]);
  payload.writeUInt16LE(capabilities, payload.length - 2);
  return (server) => void server.write(packet(0, payload));
}

/** A driver's answer. With 32 bytes, it asks for TLS itself. */
function answer(length = 40): Buffer {
  const payload = Buffer.alloc(length);
  payload.writeUInt32LE(0x0200 | (length === 32 ? TLS : 0));
  return packet(1, payload);
}

function packet(sequence: number, payload: Buffer): Buffer {
  const head = Buffer.from([0, 0, 0, sequence]);
  head.writeUIntLE(payload.length, 0, 3);
  return Buffer.concat([head, payload]);
}
