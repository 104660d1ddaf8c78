import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { performance } from "node:perf_hooks";
import { duplexPair, type Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { TLSSocket } from "node:tls";
import type { Dispatcher } from "undici";
import { FakeClock } from "../../../test/helpers/fake-clock.ts";
import { defaultOptions, type GatewayOptions } from "../../contract/gateway-options.ts";
import { Failure } from "../../failures/failures.ts";
import { OriginPool, type Open, type OriginConnection, type PoolScope } from "./pool.ts";

const LIFE = defaultOptions.timeouts.life;
const REVOKED = new Failure("origin_connection_cut");
const ALONE = { isSafe: true, hasBody: false, retries: 0 };
const REFUSED_STREAM = Object.assign(new Error("refused"), { http2ErrorCode: 7 });
const HTTP_1_1_REQUIRED = Object.assign(new Error("1.1"), { http2ErrorCode: 13 });

interface World {
  readonly pool: OriginPool;
  /** How each connection was asked for. */
  readonly asked: Parameters<Open>[1][];
  /** The gateway's ends of those that were opened. */
  readonly opened: Duplex[];
}

/** A pool whose connections lead to a server that answers each request with `ok`. */
function world(
  t: TestContext,
  connection: Partial<OriginConnection> | (() => Promise<Partial<OriginConnection>>) = {},
  options: Partial<GatewayOptions> = {},
): World {
  const server = createServer((_, response) => response.end("ok"));
  const asked: World["asked"] = [];
  const opened: Duplex[] = [];
  const open: Open = async (_, how) => {
    asked.push(how);
    const [near, far] = duplexPair();
    for (const end of [near, far]) end.on("error", () => {});
    t.after(() => far.destroy());
    server.emit("connection", far);
    const usual = { tlsVersion: "TLSv1.3", asked: true, resumable: true, resumed: false };
    const own = typeof connection === "function" ? await connection() : connection;
    const made = { stream: near, ...usual, ...own };
    opened.push(made.stream);
    return made;
  };
  const parts = { open, options: { ...defaultOptions, ...options }, clock: new FakeClock(0) };
  const pool = new OriginPool(SCOPE, parts);
  t.after(() => pool.cut(REVOKED));
  return { pool, asked, opened };
}

const SCOPE = {
  accountId: "a",
  scriptName: "s",
  bindingName: "B",
  credential: { certificateId: "c", version: 1, fingerprint: "f", subject: "CN=client" },
  trust: { id: "t", publicRoots: false, authorities: [] },
  origin: "https://origin.example",
  destination: { host: "origin.example", port: 443 },
} as unknown as PoolScope;

/** One request: what came of it. */
function ask(dispatcher: Dispatcher): Promise<number | Error> {
  return new Promise((resolve) => {
    let status = 0;
    dispatcher.dispatch(
      { path: "/", method: "GET" },
      {
        onRequestStart: () => {},
        onResponseStart: (_, code) => void (status = code),
        onResponseData: () => {},
        onResponseEnd: () => resolve(status),
        onResponseError: (_, error) => resolve(error),
      },
    );
  });
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The time that has passed, in ms. */
function passing(t: TestContext): (ms: number) => void {
  let now = 0;
  t.mock.method(performance, "now", () => now);
  return (ms) => (now += ms);
}

test("HTTP/2 is offered where it may be, not for what it cannot carry, and nothing for raw bytes", async (t) => {
  for (const http2 of [true, false]) {
    const { pool, asked } = world(t, {}, { http2 });
    assert.equal(await ask(pool.dispatcher), 200);
    assert.equal(await ask(pool.http1Dispatcher), 200);
    assert.equal(pool.http1Dispatcher, pool.http1Dispatcher);
    await pool.connect();
    assert.deepEqual(
      asked.map(({ protocols }) => protocols),
      [http2 ? ["http/1.1", "h2"] : ["http/1.1"], ["http/1.1"], []],
    );
    assert.equal(pool.connections, 3);
  }
});

test("connections are replaced when they are old, not all pools at once, and none of one that ends", async (t) => {
  for (const [random, age] of [
    [0, 0.9 * LIFE],
    [0.5, LIFE],
  ] as const) {
    const pass = passing(t);
    t.mock.method(Math, "random", () => random);
    const { pool, asked } = world(t);
    const young = pool.dispatcher;
    assert.equal(await ask(young), 200);
    pass(age - 1);
    assert.equal(pool.dispatcher, young);
    pass(1);
    const second = pool.dispatcher;
    assert.notEqual(second, young);
    assert.equal(pool.dispatcher, second);
    assert.equal(await ask(second), 200);
    assert.equal(asked.length, 2);
    // Nobody uses the first any more.
    while (pool.connections > 1) await turn();
    const drained = pool.drain();
    assert.equal(pool.drain(), drained);
    pass(2 * LIFE);
    assert.equal(pool.dispatcher, second);
    await drained;
    assert.equal(pool.connections, 0);
    t.mock.restoreAll();
  }
});

test("requests that wait for a connection which fails share its failure, the next ones try again", async (t) => {
  let isUp = false;
  const refused = new Failure("origin_refused");
  const { pool, asked } = world(t, () => (isUp ? Promise.resolve({}) : Promise.reject(refused)), {
    connections: 1,
    http2: false,
  });
  const outcomes = await Promise.all([1, 2, 3].map(() => ask(pool.dispatcher)));
  assert.deepEqual(outcomes, [refused, refused, refused]);
  assert.equal(asked.length, 1);
  isUp = true;
  await turn();
  assert.equal(await ask(pool.dispatcher), 200);
});

test("what is cut ends at once, with everything that is under way, and nothing new begins", async (t) => {
  const pass = passing(t);
  const late = Promise.withResolvers<Partial<OriginConnection>>();
  let isLate = false;
  const { pool, asked, opened } = world(t, () => (isLate ? late.promise : Promise.resolve({})));
  await ask(pool.dispatcher);
  await ask(pool.http1Dispatcher);
  const raw = await pool.connect();
  isLate = true;
  const waiting = ask(pool.dispatcher);
  const coming = pool.connect();
  pass(2 * LIFE);
  const aged = ask(pool.dispatcher);
  await turn();
  pool.cut(REVOKED);
  assert.equal(asked.at(-1)?.signal.reason, REVOKED);
  late.resolve({});
  await assert.rejects(coming, (error) => error === REVOKED);
  for (const one of [waiting, aged]) assert.ok((await one) instanceof Error);
  await assert.rejects(pool.connect(), (error) => error === REVOKED);
  for (const stream of [raw, ...opened]) assert.ok(stream.destroyed);
  while (pool.connections > 0) await turn();
  assert.ok((await ask(pool.dispatcher)) instanceof Error);
  assert.ok((await ask(pool.http1Dispatcher)) instanceof Error);
  assert.equal(pool.failure(new Error("any")), REVOKED);
  assert.equal(pool.endedFailure(raw, "unused"), REVOKED);
  assert.equal(pool.mayRetry(REFUSED_STREAM, ALONE), false);
});

test("a failure of a connection is told as its first error, with what is known of the connection", async (t) => {
  const own = new Failure("origin_refused");
  for (const [hasAsked, isTls, code] of [
    [true, true, "origin_closed_first_read"],
    [false, true, "origin_closed"],
    // What has answered before is not closed for its certificate.
    [true, false, "origin_closed"],
  ] as const) {
    const stream = isTls ? new TLSSocket(duplexPair()[0]) : duplexPair()[0];
    stream.on("error", () => {});
    const { pool } = world(t, { asked: hasAsked, stream });
    assert.equal(pool.failure(own), own);
    const raw = await pool.connect();
    const ended = pool.endedFailure(raw, "unused");
    assert.equal(ended.code, code);
    assert.deepEqual(
      [ended.facts["askedForCertificate"], ended.facts["tls"], ended.facts["certificateId"]],
      [hasAsked, "TLSv1.3", "c"],
    );
    const error = Object.assign(new Error("reset"), { code: "ECONNRESET" });
    raw.emit("error", error);
    assert.equal(pool.failure(error).code, code);
    // undici makes an error of its own of what follows.
    const second = Object.assign(new Error("other side closed"), { code: "ERR_SSL" });
    raw.emit("error", second);
    assert.equal(pool.failure(second).code, code);
    raw.destroy();
    await once(raw, "close");
    assert.equal(pool.endedFailure(raw, "unused").code, code, "its close does not make it unknown");
  }
  const { pool } = world(t);
  assert.equal(pool.endedFailure(duplexPair()[0], "unused").code, "origin_closed");
  assert.match(pool.endedFailure(duplexPair()[0], "unused").message, /ECONNRESET/);
});

test("what an origin did not process is sent again on another connection, and one a second in a loop", async (t) => {
  const pass = passing(t);
  const { pool } = world(t);
  const first = pool.dispatcher;
  const post = { isSafe: false, hasBody: true, retries: 3 };
  assert.equal(pool.mayRetry(REFUSED_STREAM, post), true);
  const second = pool.dispatcher;
  assert.notEqual(second, first);
  pass(999);
  assert.equal(pool.mayRetry(REFUSED_STREAM, post), true);
  assert.equal(pool.dispatcher, second);
  pass(1);
  assert.equal(pool.mayRetry(REFUSED_STREAM, post), true);
  assert.notEqual(pool.dispatcher, second);
});

test("an origin that wants HTTP/1.1 is offered nothing else from then on", async (t) => {
  const pass = passing(t);
  const { pool, asked } = world(t);
  const first = pool.dispatcher;
  assert.equal(pool.mayRetry(HTTP_1_1_REQUIRED, ALONE), true);
  const second = pool.dispatcher;
  assert.notEqual(second, first);
  assert.equal(pool.mayRetry(HTTP_1_1_REQUIRED, ALONE), true);
  assert.equal(pool.dispatcher, second, "it is done once");
  pass(2 * LIFE);
  await ask(pool.dispatcher);
  assert.deepEqual(asked[0]?.protocols, ["http/1.1"]);
});

test("a safe request is sent again once, if the connection had answered before", async (t) => {
  const { pool } = world(t);
  const raw = await pool.connect();
  const error = new Error("closed");
  assert.equal(pool.mayRetry(error, ALONE), false, "of no connection that is known");
  raw.emit("error", error);
  assert.equal(pool.mayRetry(error, ALONE), true);
  assert.equal(pool.mayRetry(error, { ...ALONE, retries: 1 }), false);
  assert.equal(pool.mayRetry(error, { ...ALONE, isSafe: false }), false);
  const tls = new TLSSocket(duplexPair()[0]).on("error", () => {});
  const fresh = world(t, { stream: tls });
  const unread = await fresh.pool.connect();
  unread.emit("error", error);
  assert.equal(fresh.pool.mayRetry(error, ALONE), false, "it may be for the certificate");
});

test("a session is resumed once, by what begins with TLS, while the pool is in use", async (t) => {
  const { pool, asked } = world(t);
  const ticket = Buffer.from("ticket");
  await pool.connect();
  assert.equal(asked[0]?.session, undefined);
  asked[0]!.onSession(ticket);
  await pool.connect(() => Promise.resolve());
  assert.equal(asked[1]?.session, undefined, "what was said in the clear cannot be said again");
  await pool.connect();
  assert.equal(asked[2]?.session, ticket);
  await pool.connect();
  assert.equal(asked[3]?.session, undefined);
  asked[3]!.onSession(ticket);
  void pool.drain();
  await pool.connect();
  assert.equal(asked[4]?.session, undefined);
  asked[4]!.onSession(ticket);
  await pool.connect();
  assert.equal(asked[5]?.session, undefined);
});

test("on TLS 1.2 a session that was resumed is resumed again, on TLS 1.3 each once", async (t) => {
  for (const [tlsVersion, resumed, again] of [
    ["TLSv1.2", true, true],
    ["TLSv1.2", false, false],
    ["TLSv1.3", true, false],
  ] as const) {
    const { pool, asked } = world(t, { tlsVersion, resumed });
    await pool.connect();
    asked[0]!.onSession(Buffer.from("ticket"));
    await pool.connect();
    await pool.connect();
    assert.equal(asked[2]?.session !== undefined, again);
  }
});

test("an origin that fails when sessions are resumed is offered none any more", async (t) => {
  const { pool, asked } = world(t, { resumable: false });
  await pool.connect();
  asked[0]!.onSession(Buffer.from("ticket"));
  await pool.connect();
  assert.equal(asked[1]?.session, undefined);
});

test("a pool that drains waits for all its connections, raw ones among them", async (t) => {
  const { pool } = world(t);
  await ask(pool.dispatcher);
  await ask(pool.http1Dispatcher);
  const raw = await pool.connect();
  let isOver = false;
  const drained = pool.drain().then(() => (isOver = true));
  while (pool.connections > 1) await turn();
  await turn();
  assert.equal(isOver, false);
  raw.destroy();
  await once(raw, "close").catch(() => {});
  await drained;
});
