import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { Readable } from "node:stream";
import { test } from "node:test";
import type { Dispatcher } from "undici";
import {
  answered,
  begun,
  opened,
  readUntil,
  testBinding,
  upstream,
  type Sent,
} from "../../test/helpers/binding.ts";
import { ask } from "../../test/helpers/gateway.ts";
import { pipelined } from "../../test/helpers/pipelined.ts";
import { Failure } from "../failures/failures.ts";
import { frontName } from "./front.ts";
import type { Route } from "./route.ts";

const BROKEN = new Proxy({} as Route, {
  get: () => {
    throw new TypeError("not thought of");
  },
});
const ASKED = "http://connect.countersign.invalid/a.example:1";
const CONNECT = "CONNECT a.example:1 HTTP/1.1\r\n\r\n";

function upgradeTo(protocol: string): string {
  return `GET https://a.example/chat HTTP/1.1\r\nconnection: upgrade\r\nupgrade: ${protocol}\r\n\r\n`;
}

test("what is thrown for one request, socket or upgrade ends it with a code, and nothing else", async (t) => {
  const { path } = await testBinding(t, { router: { route: () => BROKEN, release: () => {} } });
  for (let count = 0; count < 3; count += 1) {
    const answer = await ask(path, "https://a.example/");
    assert.deepEqual([answer.status, answer.headers["countersign-failure"]], [500, "internal"]);
  }
  for (const head of [CONNECT, upgradeTo("websocket")]) {
    const socket = connect(path);
    socket.on("error", () => {});
    socket.write(head);
    socket.resume();
    await once(socket, "close");
  }
});

test("thousands of requests that nobody waits for end their connection, thirty are answered", async (t) => {
  const { path } = await testBinding(t, { answer: answered(200, "hello") });
  const request = "GET https://a.example/ HTTP/1.1\r\n\r\n";
  assert.equal(await pipelined(connect(path), request, 30), 30);
  assert.ok((await pipelined(connect(path), request, 5_000)) < 5_000);
});

test("a request goes where its URL says, and its answer is the origin's alone", async (t) => {
  const seen: unknown[] = [];
  const { path, told } = await testBinding(t, {
    answer: (handler, options) => {
      seen.push(options.origin, options.method, options.path);
      answered(200, "hello")(handler, options);
    },
  });
  const answer = await ask(path, "https://a.example:8443/p?q", { method: "PUT" });
  assert.deepEqual([answer.status, answer.text], [200, "hello"]);
  assert.deepEqual(Object.keys(answer.headers).toSorted(), ["connection", "transfer-encoding"]);
  assert.deepEqual(seen, ["https://a.example:8443", "PUT", "/p?q"]);
  assert.deepEqual(told.slice(0, 2), [
    ["answered", 200, true],
    ["span answered", 200],
  ]);
});

test("a request may have thousands of header fields, and 128 KB of them", async (t) => {
  let sent: readonly string[] = [];
  const { path, told } = await testBinding(t, {
    answer: (handler, options) => {
      sent = options.headers;
      answered()(handler, options);
    },
  });
  const many = Object.fromEntries(Array.from({ length: 2_500 }, (_, i) => [`x-${i}`, "v"]));
  assert.equal((await ask(path, "https://a.example/", { headers: many })).status, 204);
  assert.ok(sent.includes("x-2499"));
  const most = { "x-a": "v".repeat(127_900) };
  assert.equal((await ask(path, "https://a.example/", { headers: most })).status, 204);
  told.length = 0;
  const over = { "x-a": "v".repeat(128_001) };
  const refused = await ask(path, "https://a.example/", { headers: over });
  assert.equal(refused.headers["countersign-failure"], "binding_headers_too_large");
  // The Worker's owner finds it in the log under the same name.
  const ray = refused.headers["countersign-ray"];
  assert.deepEqual(told, [["binding_headers_too_large", null, ray]]);
});

test("a URL that no origin would take is refused by name", async (t) => {
  const { path } = await testBinding(t, {});
  const long = `https://a.example/${"p".repeat(16_300)}`;
  assert.equal((await ask(path, long)).status, 204);
  const answer = await ask(path, `${long}${"p".repeat(400)}`);
  assert.equal(answer.headers["countersign-failure"], "binding_url_too_long");
});

test("only a WebSocket is an upgrade; another protocol is not switched to", async (t) => {
  const seen: unknown[] = [];
  const { path } = await testBinding(t, {
    answer: (handler, options) => {
      seen.push(options.upgrade, options.path);
      answered()(handler, options);
    },
  });
  for (const protocol of ["WebSocket", "h2c"]) {
    const socket = await opened(t, path, upgradeTo(protocol));
    assert.match(await readUntil(socket, "\r\n\r\n"), /^HTTP\/1\.1 204 /);
    socket.destroy();
  }
  assert.deepEqual(seen, ["WebSocket", "/chat", null, "/chat"]);
});

test("a WebSocket that may not go out is told why", async (t) => {
  const { path } = await testBinding(t, { router: { route: refuses } });
  const text = await readUntil(await opened(t, path, upgradeTo("websocket")), /\}$/);
  assert.match(text, /^HTTP\/1\.1 520 .*\r\ncountersign-failure: certificate_gone\r\n/is);
});

test("a body that waits for a word is asked for once the origin wants it", async (t) => {
  const head = "POST https://a.example/ HTTP/1.1\r\ncontent-length: 4\r\n";
  const { path } = await testBinding(t, {
    answer: async (handler, options) => {
      const body = await (options.body as Readable).toArray();
      answered(200, String(Buffer.concat(body)))(handler, options);
    },
  });
  const waits = await opened(t, path, `${head}expect: 100-continue\r\n\r\n`);
  assert.equal(await readUntil(waits, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  waits.write("body");
  assert.match(await readUntil(waits, "body"), /^HTTP\/1\.1 200 /);
  // What nobody knows is no reason to refuse it.
  const other = await opened(t, path, `${head}expect: a miracle\r\n\r\nbody`);
  assert.match(await readUntil(other, "body"), /^HTTP\/1\.1 200 /);
});

test("what is no request is answered with a code", async (t) => {
  const { path } = await testBinding(t, {});
  const text = await readUntil(await opened(t, path, "nonsense\r\n\r\n"), /\}$/);
  assert.match(text, /^HTTP\/1\.1 520 .*\r\ncountersign-failure: origin_request_malformed\r\n/s);
});

test("a binding whose connections are used up refuses by name, until one has closed", async (t) => {
  const { path } = await testBinding(t, { router: { mostConnections: 1 } });
  const first = await opened(t, path);
  const answer = await ask(path, "https://a.example/");
  assert.deepEqual(
    [answer.status, answer.headers["countersign-failure"]],
    [503, "binding_connections_exhausted"],
  );
  first.destroy();
  await once(first, "close");
  assert.equal((await ask(path, "https://a.example/")).status, 204);
});

test("what comes over a connection above the Worker's share is refused by name, and the connection ends", async (t) => {
  const given: string[] = [];
  let left = 1;
  const connection = (): (() => void) | null => (left-- > 0 ? () => void given.push("back") : null);
  const { path } = await testBinding(t, { router: { connection } });
  const first = await opened(t, path);
  const text = await readUntil(
    await opened(t, path, "GET https://a.example/ HTTP/1.1\r\n\r\n"),
    /\}$/,
  );
  assert.match(text, /^HTTP\/1\.1 503 .*binding_connections_exhausted/s);
  assert.match(text, /\r\nconnection: close\r\n/i);
  assert.deepEqual(given, []);
  first.destroy();
  await once(first, "close");
  await until(() => given.length === 1);
});

test("a certificate that cannot be presented is told, logged and traced under one name", async (t) => {
  const { path, told } = await testBinding(t, { router: { route: refuses } });
  const answer = await ask(path, "https://a.example/");
  const [code, ray] = ["certificate_gone", answer.headers["countersign-ray"]];
  assert.deepEqual([answer.status, answer.headers["countersign-failure"]], [520, code]);
  assert.deepEqual(told, [
    [code, null, ray],
    ["span failed", code],
  ]);
});

test("where there are no spans, a certificate that cannot be presented is told all the same", async (t) => {
  const { path } = await testBinding(t, { router: { route: throws, tracing: () => null } });
  const answer = await ask(path, "https://a.example/");
  assert.deepEqual([answer.status, answer.headers["countersign-failure"]], [500, "internal"]);
});

test("a Worker may ask why its connect() failed, at this process and the others", async (t) => {
  let others: () => Promise<Failure | null> = nothing;
  const asked: string[] = [];
  const { socket, path } = await testBinding(t, {
    router: { route: refuses, askOthers: (url) => (asked.push(url), others()) },
  });
  assert.equal((await ask(path, ASKED)).status, 204);
  others = () => Promise.reject(new Error("one of them has ended"));
  assert.equal((await ask(path, ASKED)).status, 204);
  others = () => Promise.resolve(new Failure("origin_refused"));
  assert.equal((await ask(path, ASKED)).headers["countersign-failure"], "origin_refused");
  assert.deepEqual(asked, [ASKED, ASKED, ASKED]);
  assert.equal(socket.recentFailure(ASKED), null);
  await readUntil(await opened(t, path, CONNECT), /\}$/);
  assert.equal((await ask(path, ASKED)).headers["countersign-failure"], "certificate_gone");
  assert.equal(socket.recentFailure(ASKED)?.code, "certificate_gone");
  assert.equal(asked.length, 3, "who knows asks nobody");
});

test("who is alone asks no others", async (t) => {
  const { path } = await testBinding(t, {});
  assert.equal((await ask(path, ASKED)).status, 204);
});

test("before an origin, the host in Host is where a request goes, and no loop is passed on", async (t) => {
  const seen: unknown[] = [];
  const front = { hosts: ["10.0.0.1"], port: 8443 };
  const { socket, path } = await testBinding(t, {
    binding: { front },
    answer: (handler, options) => {
      seen.push(options.origin, options.path);
      answered()(handler, options);
    },
  });
  // No question is asked here: whatever the path, it is the visitor's.
  await ask(path, ASKED, { headers: { host: "Shop.example" } });
  assert.deepEqual(seen, ["https://shop.example:8443", ASKED]);
  const loop = { host: "shop.example", "cdn-loop": frontName(socket.binding) };
  const answer = await ask(path, "/", { headers: loop });
  assert.equal(answer.headers["countersign-failure"], "host_origin_loop");
});

test("routes are found again after a change, and let go when nobody uses them", async (t) => {
  const { socket, path, released } = await testBinding(t, {});
  await ask(path, "https://a.example/");
  socket.refresh();
  assert.deepEqual(released, ["https://a.example"]);
  socket.sweep();
  socket.sweep();
  assert.deepEqual(released, ["https://a.example", "https://a.example"]);
});

test("a binding that closes lets go of idle connections at once, and of busy ones after their answer", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const held: Dispatcher.DispatchHandler[] = [];
  const { socket, path, released } = await testBinding(t, { answer: (one) => held.push(one) });
  const idle = await opened(t, path);
  const busy = await opened(t, path, "GET https://a.example/ HTTP/1.1\r\n\r\n");
  await until(() => held.length === 1);
  const closed = socket.close(1_000);
  assert.equal(await readUntil(idle, "never"), "");
  answered(200, "all of it")(held[0]!, {} as Sent);
  assert.match(await readUntil(busy, "\r\n0\r\n"), /all of it/);
  t.mock.timers.tick(20);
  assert.equal(await readUntil(busy, "never"), "");
  await closed;
  assert.deepEqual(released, ["https://a.example"]);
});

test("a request that comes on an open connection while its binding closes is its last", async (t) => {
  const held: Dispatcher.DispatchHandler[] = [];
  const { socket, path, clock } = await testBinding(t, { answer: (one) => held.push(one) });
  const worker = await opened(t, path, "GET https://a.example/1 HTTP/1.1\r\n\r\n");
  await until(() => held.length === 1);
  const closed = socket.close(1_000);
  worker.write("GET https://a.example/2 HTTP/1.1\r\n\r\n");
  answered()(held[0]!, {} as Sent);
  assert.match(await readUntil(worker, "\r\n\r\n"), /keep-alive/i);
  await until(() => held.length === 2);
  answered()(held[1]!, {} as Sent);
  assert.match(await readUntil(worker, "\r\n\r\n"), /connection: close/i);
  clock.advance(1_000);
  await closed;
});

test("when the time to close is over, requests and tunnels are cut", async (t) => {
  const [ours, server] = upstream();
  const { socket, path, clock, released } = await testBinding(t, {
    answer: begun,
    pool: { connect: () => Promise.resolve(ours) },
  });
  const tunnel = await opened(t, path, CONNECT);
  await readUntil(tunnel, "\r\n\r\n");
  const request = await opened(t, path, "GET https://a.example/ HTTP/1.1\r\n\r\n");
  await readUntil(request, "half");
  const closed = socket.close(1_000);
  clock.advance(999);
  server.write("still open");
  assert.equal(await readUntil(tunnel, "open"), "still open");
  assert.deepEqual(released, []);
  clock.advance(1);
  await closed;
  for (const one of [tunnel, request]) assert.doesNotMatch(await readUntil(one, "never"), /0\r\n/);
  assert.deepEqual(released, ["https://a.example:1", "https://a.example"]);
});

test("a process that ends tells its requests why, and cuts its tunnels", async (t) => {
  const held: Dispatcher.DispatchHandler[] = [];
  const { socket, path } = await testBinding(t, {
    answer: (one) => held.push(one),
    pool: { connect: () => Promise.resolve(upstream()[0]) },
  });
  const tunnel = await opened(t, path, CONNECT);
  await readUntil(tunnel, "\r\n\r\n");
  const waiting = ask(path, "https://a.example/");
  await until(() => held.length === 1);
  socket.abandon(new Failure("edge_process_ended"));
  const answer = await waiting;
  assert.deepEqual(
    [answer.status, answer.headers["countersign-failure"]],
    [503, "edge_process_ended"],
  );
  assert.equal(await readUntil(tunnel, "never"), "");
});

test("an exception after an answer has begun cuts it: it never ends like a whole one", async (t) => {
  const { path } = await testBinding(t, {
    answer: (handler) => {
      begun(handler);
      throw new Error("not thought of");
    },
  });
  const worker = await opened(t, path, "GET https://a.example/ HTTP/1.1\r\n\r\n");
  assert.doesNotMatch(await readUntil(worker, "never"), /\r\n0\r\n/);
});

function nothing(): Promise<null> {
  return Promise.resolve(null);
}

function refuses(): never {
  throw new Failure("certificate_gone");
}

function throws(): never {
  throw new TypeError("not thought of");
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}
