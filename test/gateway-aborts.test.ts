import assert from "node:assert/strict";
import { once } from "node:events";
import { request as httpRequest, type ClientRequest } from "node:http";
import { createSecureServer, type ServerHttp2Stream } from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { flags, frames, okHead, rawHttp2Origin, uint32 } from "./helpers/raw-http2.ts";
import { until } from "./helpers/until.ts";

const ended: (() => void | Promise<void>)[] = [];
let authority: TestAuthority;
let gateway: TestGateway;
before(async () => {
  authority = await makeAuthority();
  gateway = await testGateway(
    { after: (end: () => Promise<void>) => void ended.push(end) },
    // Two slots: the third request shows a leaked slot.
    { connections: 2, timeouts: { headers: 8_000, body: 8_000, idle: 400 } },
  );
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
});
after(async () => {
  for (const end of ended) await end();
});

const { DATA, HEADERS, RST_STREAM, GOAWAY } = frames;
const { NONE, END_STREAM, END_HEADERS } = flags;

/** An upload that has begun and does not end. */
function upload(url: string): ClientRequest {
  const request = httpRequest({
    socketPath: gateway.socket(),
    path: url,
    method: "POST",
    setHost: false,
    agent: false,
  });
  request.on("error", () => {}).write("begun");
  return request;
}

test("an upload that its client breaks off is reset at an HTTP/2 origin, and gives its slot back", async () => {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  let begun = 0;
  const aborted: number[] = [];
  const whole: string[] = [];
  const server = createSecureServer({ key, cert: chain, settings: { maxConcurrentStreams: 4 } });
  let sessions = 0;
  server.on("session", () => (sessions += 1));
  server.on("stream", (http2Stream) => {
    const stream = http2Stream as ServerHttp2Stream;
    stream.on("error", () => {});
    let body = "";
    stream
      .once("data", () => (begun += 1))
      .on("data", (chunk: Buffer) => (body += chunk.toString()));
    stream.once("aborted", () => aborted.push(stream.rstCode));
    stream.once("end", () => {
      if (stream.aborted || stream.destroyed || stream.rstCode !== 0) return;
      whole.push(body);
      stream.respond({ ":status": 200 });
      stream.end(body);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  for (let round = 1; round <= 4; round += 1) {
    const uploads = [1, 2, 3].map(() => upload(url));
    await until(() => begun === round * 3);
    for (const one of uploads) one.destroy();
    await until(() => aborted.length === round * 3);
  }
  assert.deepEqual(new Set(aborted), new Set([8]), "CANCEL");
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => ask(gateway.socket(), url, { method: "POST", body: "whole" })),
  );
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["whole"]));
  assert.deepEqual(new Set(whole), new Set(["whole"]), "none that was broken off ended");
  assert.ok(sessions <= 2, `${sessions} connections: what was broken off took none along`);
  server.close();
});

test("what is broken off is only reset: no frame says that it was whole", async () => {
  const got: { type: number; bits: number }[] = [];
  await using origin = await rawHttp2Origin(authority, (_, { type, bits, stream }) => {
    if (stream !== 0) got.push({ type, bits });
  });
  const request = upload(origin.url);
  await until(() => got.some(({ type }) => type === DATA));
  request.destroy();
  await until(() => got.some(({ type }) => type === RST_STREAM));
  assert.deepEqual(
    got.map(({ type, bits }) => [type, bits]),
    [
      [HEADERS, END_HEADERS],
      [DATA, NONE],
      [RST_STREAM, NONE],
    ],
  );
});

test("an upload that its client breaks off ends at an HTTP/1.1 origin, and gives its slot back", async () => {
  let begun = 0;
  let aborted = 0;
  let whole = 0;
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      request.once("data", () => (begun += 1)).resume();
      request.on("error", () => (aborted += 1));
      request.on("end", () => {
        whole += 1;
        response.end("ok");
      });
    },
  });
  for (let round = 1; round <= 3; round += 1) {
    const uploads = [1, 2].map(() => upload(origin.url));
    await until(() => begun === round * 2);
    for (const one of uploads) one.destroy();
    await until(() => aborted === round * 2);
  }
  const answers = await Promise.all([1, 2, 3, 4].map(() => ask(gateway.socket(), origin.url)));
  assert.deepEqual(new Set(answers.map(({ text }) => text)), new Set(["ok"]));
  assert.equal(whole, 4);
});

for (const [what, finish] of [
  ["within its trailers", (send) => send(HEADERS, NONE, okTrailers, "close")],
  ["after trailers that do not end it", (send) => send(HEADERS, END_HEADERS, okTrailers, "close")],
  ["with fewer bytes than announced", (send) => send(DATA, END_STREAM, empty)],
  ["with more bytes than announced", (send) => send(DATA, END_STREAM, Buffer.from("and too much"))],
  ["by its connection", (send) => send(DATA, NONE, empty, "close")],
] as readonly [string, (send: Send) => void][]) {
  test(`a body that an HTTP/2 origin ends ${what} never ends cleanly`, async () => {
    await using origin = await rawHttp2Origin(authority, (connection, { type, stream }) => {
      if (type !== HEADERS) return;
      connection.send(HEADERS, END_HEADERS, stream, okHead(10));
      connection.send(DATA, NONE, stream, Buffer.from("half"));
      setTimeout(() => {
        finish((kind, bits, payload, close) => {
          connection.send(kind, bits, stream, payload);
          if (close) connection.socket.end();
        });
      }, 40);
    });
    await assert.rejects(ask(gateway.socket(), origin.url), { code: "ECONNRESET" });
  });
}

type Send = (kind: number, bits: number, payload: Buffer, close?: "close") => void;
const empty = Buffer.alloc(0);
/** A literal field without indexing: `x-t: 1`. */
const okTrailers = Buffer.from([0x10, 3, ...Buffer.from("x-t"), 1, ...Buffer.from("1")]);

for (const [what, end] of [
  ["within its trailers", "0\r\nX-Trailer: a"],
  ["before the end of its trailers", "0\r\nX-Trailer: a\r\n"],
  ["within its last chunk", "0\r\n"],
  ["within a chunk", "ff\r\nab"],
] as const) {
  test(`a body that an HTTP/1.1 origin ends ${what} never ends cleanly`, async () => {
    await using origin = await rawOrigin((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
      setTimeout(() => socket.end(end), 40);
    });
    await assert.rejects(ask(gateway.socket(), origin.url), { code: "ECONNRESET" });
  });
}

async function rawOrigin(
  onRequest: (socket: TLSSocket) => void,
): Promise<AsyncDisposable & { url: string; connections: () => number }> {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer({ key, cert: chain, ALPNProtocols: ["http/1.1"] }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("data", () => onRequest(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    connections: () => sockets.size,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

for (const [what, refuse] of [
  [
    "refuses on a connection that it closes",
    (send) => {
      send(GOAWAY, 0, uint32(0, 0));
      send(RST_STREAM, 1, uint32(7));
    },
  ],
  ["refuses, and then closes", (send) => send(RST_STREAM, 1, uint32(7))],
  ["leaves above the last of a GOAWAY", (send) => send(GOAWAY, 0, uint32(0, 0))],
] as readonly [string, (send: (type: number, stream: number, payload: Buffer) => void) => void][]) {
  for (const method of ["GET", "POST"]) {
    test(`a ${method} that an HTTP/2 origin ${what} is sent again on another connection`, async () => {
      let answered = 0;
      await using origin = await rawHttp2Origin(authority, (connection, { type, bits, stream }) => {
        const isWhole = type === (method === "GET" ? HEADERS : DATA) && (bits & END_STREAM) !== 0;
        if (!isWhole) return;
        if (connection.number === 1) {
          refuse((kind, at, payload) =>
            connection.send(kind, NONE, at === 0 ? 0 : stream, payload),
          );
          setTimeout(() => connection.socket.end(), 20);
          return;
        }
        answered += 1;
        connection.send(HEADERS, END_HEADERS, stream, okHead(2));
        connection.send(DATA, END_STREAM, stream, Buffer.from("ok"));
      });
      const body = method === "POST" ? { body: "x" } : {};
      const answer = await ask(gateway.socket(), origin.url, { method, ...body });
      assert.deepEqual([answer.text, answered], ["ok", 1]);
    });
  }
}

test("a POST that an HTTP/2 origin may have processed before it closed is not sent again", async () => {
  let got = 0;
  await using origin = await rawHttp2Origin(authority, (connection, { type, bits, stream }) => {
    if (type !== DATA || (bits & END_STREAM) === 0) return;
    got += 1;
    connection.send(GOAWAY, NONE, 0, uint32(stream, 0));
    setTimeout(() => connection.socket.end(), 20);
  });
  const answer = await ask(gateway.socket(), origin.url, { method: "POST", body: "x" });
  assert.equal(answer.status, 520);
  assert.match(String(answer.headers["countersign-failure"]), /^origin_/);
  assert.equal(got, 1);
});

test("an origin that half-closes in its answer, or stays half open after it, holds nothing up", async () => {
  await using cut = await rawOrigin((socket) => {
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    setTimeout(() => socket.end(), 20);
  });
  await assert.rejects(ask(gateway.socket(), cut.url), { code: "ECONNRESET" });
  // The origin half-closes without announcing it, and reads on: the next request uses another connection.
  await using halfOpen = await rawOrigin((socket) => {
    socket.allowHalfOpen = true;
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    socket.end();
  });
  for (let i = 0; i < 4; i += 1) {
    assert.equal((await ask(gateway.socket(), halfOpen.url)).text, "ok");
  }
});

test("a client that half-closes after its request ends it at the origin, and nothing hangs", async () => {
  let closed = 0;
  await using origin = await startOrigin({
    authority,
    handler: (_, response) => void response.once("close", () => (closed += 1)),
  });
  const clients = [1, 2, 3].map(() => {
    const socket: Socket = connect(gateway.socket());
    socket.on("error", () => {}).resume();
    socket.end(`GET ${origin.url}/ HTTP/1.1\r\n\r\n`);
    return once(socket, "close");
  });
  await Promise.all(clients);
  await until(() => closed === origin.subjects.length);
});

test("a connection to an origin that nobody uses is closed when its time has come, and replaced", async () => {
  await using origin = await startOrigin({ authority });
  let connections = 0;
  let closed = 0;
  origin.server.on("secureConnection", (socket) => {
    connections += 1;
    socket.once("close", () => (closed += 1));
  });
  await ask(gateway.socket(), origin.url);
  await ask(gateway.socket(), origin.url);
  assert.equal(connections, 1);
  await until(() => closed === 1);
  assert.equal((await ask(gateway.socket(), origin.url)).status, 200);
  assert.equal(connections, 2);
});

/** Accepts connections and says nothing. */
async function silentOrigin(): Promise<
  AsyncDisposable & { url: string; opened: () => number; closed: () => number }
> {
  let [opened, closed] = [0, 0];
  const server = createServer((socket) => {
    opened += 1;
    socket.on("error", () => {}).resume();
    socket.once("close", () => (closed += 1));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    opened: () => opened,
    closed: () => closed,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

test("a handshake test that nobody waits for any more closes its connection at once", async () => {
  await using origin = await silentOrigin();
  const cancel = new AbortController();
  const report = gateway.handle.testHandshake("a", "c", origin.url, cancel.signal);
  await until(() => origin.opened() === 1);
  const began = performance.now();
  cancel.abort();
  await assert.rejects(report);
  await until(() => origin.closed() === 1);
  assert.ok(performance.now() - began < 5_000, "before the handshake's time was over");
});

test("a revocation calls off the handshakes under way, and tells their requests", async () => {
  await using origin = await silentOrigin();
  const certificate = edgeCertificate(await authority.issue({ subject: "CN=r" }), {
    certificateId: "revoked",
  });
  await gateway.handle.setCertificate(certificate);
  const binding = { bindingName: "REVOKED", certificateId: "revoked" };
  await gateway.bind(binding);
  const answer = ask(gateway.socket(binding), origin.url);
  await until(() => origin.opened() === 1);
  await gateway.handle.setCertificate({ ...certificate, revokedOn: new Date().toISOString() });
  assert.equal((await answer).headers["countersign-failure"], "origin_connection_cut");
  await until(() => origin.closed() === 1);
});
