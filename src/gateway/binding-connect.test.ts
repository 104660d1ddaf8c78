import assert from "node:assert/strict";
import type { Duplex } from "node:stream";
import { test } from "node:test";
import { opened, readUntil, testBinding, upstream } from "../../test/helpers/binding.ts";
import { ask } from "../../test/helpers/gateway.ts";
import { Failure } from "../failures/failures.ts";

const CONNECT = "CONNECT a.example:1 HTTP/1.1\r\n\r\n";
const ASKED = "http://connect.countersign.invalid/a.example:1";
const ORIGIN = "https://a.example:1";
const ACCEPTED = "HTTP/1.1 200 Connection Established\r\n\r\n";
const OPENED = [
  ["answered", 200, true],
  ["span answered", 200],
];
/** The first message of a PostgreSQL driver. */
const STARTUP = "\0\0\0\x08\0\x03\0\0";

test("connect() joins a Worker and its origin, and counts until the connection ends", async (t) => {
  const [ours, server] = upstream();
  const { path, told } = await testBinding(t, { pool: { connect: () => Promise.resolve(ours) } });
  const worker = await opened(t, path, `${CONNECT}came at once, `);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  worker.write("and later");
  assert.equal(await readUntil(server, "later"), "came at once, and later");
  server.write("hello");
  assert.equal(await readUntil(worker, "hello"), "hello");
  assert.deepEqual(told, OPENED);
  worker.end();
  server.end();
  for (const end of [worker, server]) end.resume();
  while (told.length < 4) await new Promise(setImmediate);
  assert.deepEqual(new Set(told.slice(2).flat()), new Set(["given back", "span ended"]));
});

test("a connection that cannot be made is told, logged and traced under one name, and kept for who asks", async (t) => {
  const { path, told } = await testBinding(t, {
    pool: { connect: () => Promise.reject(new Failure("origin_refused")) },
  });
  const text = await readUntil(await opened(t, path, CONNECT), /\}\n$/);
  assert.match(text, /\r\ncountersign-failure: origin_refused\r\n/);
  const ray = /countersign-ray: (\w+)/.exec(text)?.[1];
  assert.deepEqual(told.slice(0, 2), [
    ["origin_refused", ORIGIN, ray],
    ["span failed", "origin_refused"],
  ]);
  assert.equal((await ask(path, ASKED)).headers["countersign-failure"], "origin_refused");
});

test("where there are no spans, connections are made and fail all the same", async (t) => {
  const [ours] = upstream();
  const ends = [
    (): Promise<Duplex> => Promise.resolve(ours),
    () => Promise.reject(new Error("no")),
  ];
  const connect = (): Promise<Duplex> => ends.shift()!();
  const { path, told } = await testBinding(t, { pool: { connect }, route: { tracing: null } });
  const worker = await opened(t, path, CONNECT);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  const text = await readUntil(await opened(t, path, CONNECT), /\}\n$/);
  assert.match(text, /\r\ncountersign-failure: origin_closed\r\n/);
  assert.deepEqual(told[0], ["answered", 200, true]);
});

test("a Worker that holds all the connections it may have gets no other, and learns why", async (t) => {
  const { path, told } = await testBinding(t, {
    router: { stream: () => null },
    pool: { connect: assert.fail },
  });
  const text = await readUntil(await opened(t, path, CONNECT), /\}\n$/);
  assert.match(text, /\r\ncountersign-failure: connect_streams_exhausted\r\n/);
  assert.deepEqual(told[0]?.slice(0, 2), ["connect_streams_exhausted", ORIGIN]);
  const asked = await ask(path, ASKED);
  assert.equal(asked.headers["countersign-failure"], "connect_streams_exhausted");
});

test("a connection over which nothing is sent is closed, and the log says so", async (t) => {
  const [ours] = upstream();
  const { path, told } = await testBinding(t, {
    pool: { connect: () => Promise.resolve(ours), options: options(30) },
  });
  const worker = await opened(t, path, CONNECT);
  assert.equal(await readUntil(worker, "never"), ACCEPTED);
  assert.ok(ours.destroyed);
  assert.deepEqual(told[2]?.slice(0, 2), ["connect_idle", ORIGIN]);
  assert.equal(
    (await ask(path, ASKED)).json().error.message,
    `nothing was sent over the connection to ${ORIGIN} for 30 ms`,
  );
});

test("a connection that is not made in all that time is closed, and the log says so", async (t) => {
  const { path, told } = await testBinding(t, {
    pool: { connect: () => new Promise(() => {}), options: options(30) },
  });
  assert.equal(await readUntil(await opened(t, path, CONNECT), "never"), "");
  assert.deepEqual(told[0]?.slice(0, 2), ["connect_idle", ORIGIN]);
});

test("a server that breaks off is in the log, and its driver is told if the server never spoke", async (t) => {
  for (const speaks of [false, true]) {
    const [ours, server] = upstream();
    const { path, told } = await testBinding(t, {
      pool: { connect: () => Promise.resolve(ours), beginning: "postgres" },
    });
    const worker = await opened(t, path, CONNECT);
    assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
    worker.write(STARTUP);
    assert.equal(await readUntil(server, "\x03"), STARTUP);
    if (speaks) {
      server.write("R");
      await readUntil(worker, "R");
    }
    ours.destroy(new Failure("origin_refused_certificate_ca"));
    const text = await readUntil(worker, "never");
    if (speaks) assert.equal(text, "");
    else assert.match(text, /^E[^]*origin_refused_certificate_ca/);
    assert.deepEqual(told[2]?.slice(0, 2), ["origin_refused_certificate_ca", ORIGIN]);
  }
});

test("a server that ends without a word is told as the failure that it is", async (t) => {
  const [ours, server] = upstream();
  const endedFailure = (stream: Duplex): Failure =>
    new Failure(stream === ours ? "origin_closed_first_read" : "internal");
  const { path, told } = await testBinding(t, {
    pool: { connect: () => Promise.resolve(ours), beginning: "postgres", endedFailure },
  });
  const worker = await opened(t, path, CONNECT);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  worker.write(STARTUP);
  assert.equal(await readUntil(server, "\x03"), STARTUP);
  server.end();
  assert.match(await readUntil(worker, "never"), /^E[^]*origin_closed_first_read/);
  assert.deepEqual(told[2]?.slice(0, 2), ["origin_closed_first_read", ORIGIN]);
});

test("what fails after a Worker has its connection is told in the driver's protocol", async (t) => {
  const [ours] = upstream();
  const ends = [
    (): Promise<Duplex> => Promise.resolve(ours),
    (): Promise<never> => {
      ours.destroy();
      return Promise.reject(new Failure("origin_postgres_no_tls"));
    },
  ];
  const { path, told } = await testBinding(t, {
    pool: { connect: () => ends.shift()!(), beginning: null },
  });
  const worker = await opened(t, path, CONNECT);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  worker.write(STARTUP);
  assert.match(await readUntil(worker, "never"), /^E[^]*origin_postgres_no_tls/);
  assert.deepEqual(told[2]?.slice(0, 2), ["origin_postgres_no_tls", ORIGIN]);
});

test("a driver that begins TLS itself is cut, and its owner learns why", async (t) => {
  const [ours] = upstream();
  const { path, told } = await testBinding(t, {
    pool: { connect: () => Promise.resolve(ours), beginning: "postgres" },
  });
  const worker = await opened(t, path, CONNECT);
  assert.equal(await readUntil(worker, "\r\n\r\n"), ACCEPTED);
  worker.write("\0\0\0\x08\x04\xd2\x16\x2f", "latin1");
  assert.equal(await readUntil(worker, "S"), "S");
  worker.write("\x16\x03\x01");
  assert.equal(await readUntil(worker, "never"), "");
  assert.ok(ours.destroyed);
  assert.deepEqual(told[2]?.slice(0, 2), ["connect_second_tls", ORIGIN]);
  assert.equal((await ask(path, ASKED)).headers["countersign-failure"], "connect_second_tls");
});

function options(stream: number): object {
  return { timeouts: { stream, handshake: 1_000 }, postgresPorts: [], mysqlPorts: [] };
}
