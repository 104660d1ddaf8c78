import assert from "node:assert/strict";
import { once } from "node:events";
import { constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { flags, frame, frames, uint32 } from "./helpers/raw-http2.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

const HOST = "reads.example";

/** At `/endless` it sends without end, at `/silent` it says one thing and waits; its WebSockets do the same. */
const WORKER = `export default { fetch(request) {
  const isEndless = new URL(request.url).pathname === "/endless";
  if (request.headers.get("upgrade")) {
    const { 0: client, 1: server } = new WebSocketPair();
    server.accept();
    const flood = () => { for (let i = 0; i < 256; i++) server.send(new Uint8Array(65_536)); };
    if (isEndless) flood();
    else server.send("hello");
    return new Response(null, { status: 101, webSocket: client });
  }
  let isFirst = true;
  const pull = async (to) => {
    if (!isEndless && !isFirst) await new Promise((done) => setTimeout(done, 60_000));
    isFirst = false;
    to.enqueue(new Uint8Array(isEndless ? 65_536 : 1));
  };
  return new Response(new ReadableStream({ pull }));
} };`;

let edge: TestEdge;
before(async () => {
  const authority = await makeAuthority();
  const { key, chain } = await authority.issue({ subject: "CN=default", dns: ["*.localhost"] });
  edge = await startTestEdge({
    clientStalled: 300,
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { key, chain } },
  });
  await edge.deploy(makeVersion("reads", WORKER), { hosts: [HOST] });
});
after(() => edge[Symbol.asyncDispose]());

function open(): Socket {
  return connect(edge.edge.httpPort, "127.0.0.1").on("error", () => {});
}

function openTls(ALPNProtocols: string[] = []): TLSSocket {
  const port = Number(new URL(edge.edge.httpsUrl!).port);
  const options = { servername: HOST, ALPNProtocols, rejectUnauthorized: false };
  return connectTls({ host: "127.0.0.1", port, ...options }).on("error", () => {});
}

const UPGRADE = [
  "connection: upgrade",
  "upgrade: websocket",
  "sec-websocket-version: 13",
  "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
  "",
].join("\r\n");

function ask(socket: Socket, path: string, headers: string): void {
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${HOST}\r\n${headers}\r\n`);
}

/** Requests and WebSockets that the Worker works on. */
async function inFlight(): Promise<number> {
  const metrics = await edge.edge.metrics();
  return Number(/requests_in_flight\{[^}]*script="reads"[^}]*\} (\d+)/.exec(metrics)?.[1] ?? 0);
}

for (const [what, socket, headers] of [
  ["HTTP/1.1", open, ""],
  ["HTTP/1.1 over TLS", openTls, ""],
  ["a WebSocket", open, UPGRADE],
  ["a WebSocket over TLS", openTls, UPGRADE],
] as const) {
  test(`a client of ${what} that takes nothing is cut, one to which nothing is sent goes on`, async () => {
    const silent = socket();
    ask(silent, "/silent", headers);
    await once(silent.resume(), "data");
    const stalled = socket();
    ask(stalled, "/endless", headers);
    await until(async () => (await inFlight()) === 2);
    await until(async () => (await inFlight()) === 1);
    assert.equal(silent.readyState, "open");
    silent.destroy();
    stalled.destroy();
    await until(async () => (await inFlight()) === 0);
  });
}

interface RawClient {
  readonly socket: TLSSocket;
  /** Sends the head of a request, which has no window but for its answer's first bytes. */
  ask(stream: number, fields: Readonly<Record<string, string>>): void;
  /** Frames of this type that came for this stream. */
  got(type: number, stream: number): readonly Buffer[];
}

/** @param window bytes of each answer that it takes */
async function rawClient(window: number): Promise<RawClient> {
  const socket = openTls(["h2"]);
  await once(socket, "secureConnect");
  const all: Buffer[] = [];
  let unread = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= 9 && unread.length >= 9 + unread.readUIntBE(0, 3)) {
      const length = 9 + unread.readUIntBE(0, 3);
      all.push(unread.subarray(0, length));
      unread = unread.subarray(length);
    }
  });
  const initialWindow = Buffer.concat([Buffer.from([0, 4]), uint32(window)]);
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(frames.SETTINGS, flags.NONE, 0, initialWindow));
  socket.write(frame(WINDOW_UPDATE, flags.NONE, 0, uint32(2 ** 31 - 1 - 65_535)));
  return {
    socket,
    ask: (stream, fields) => {
      const literals = Object.entries(fields).map(([name, value]) =>
        Buffer.from(
          `\0${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`,
        ),
      );
      const end = fields[":protocol"] === undefined ? flags.END_STREAM : flags.NONE;
      const head = Buffer.concat(literals);
      socket.write(frame(frames.HEADERS, flags.END_HEADERS | end, stream, head));
    },
    got: (type, stream) =>
      all.filter((one) => one.readUInt8(3) === type && one.readUInt32BE(5) === stream),
  };
}

const WINDOW_UPDATE = 8;
const GET = { ":method": "GET", ":scheme": "https", ":authority": HOST };

for (const [what, more] of [
  ["A stream of HTTP/2", {}],
  [
    "A WebSocket over HTTP/2",
    { ":method": "CONNECT", ":protocol": "websocket", "sec-websocket-version": "13" },
  ],
] as const) {
  test(`${what} that has no window is reset, others of its connection go on`, async () => {
    const client = await rawClient(100);
    client.ask(1, { ...GET, ":path": "/silent", ...more });
    await until(() => client.got(frames.DATA, 1).length > 0);
    client.ask(3, { ...GET, ":path": "/endless", ...more });
    await until(() => client.got(frames.RST_STREAM, 3).length > 0);
    assert.equal(client.got(frames.RST_STREAM, 3)[0]!.readUInt32BE(9), constants.NGHTTP2_CANCEL);
    await until(async () => (await inFlight()) === 1);
    assert.deepEqual(client.got(frames.RST_STREAM, 1), []);
    client.socket.destroy();
    await until(async () => (await inFlight()) === 0);
  });
}

test("A connection of HTTP/2 that is not read is closed, whatever its windows", async () => {
  const client = await rawClient(2 ** 31 - 1);
  client.ask(1, { ...GET, ":path": "/endless" });
  await until(() => client.got(frames.HEADERS, 1).length > 0);
  client.socket.pause();
  await until(async () => (await inFlight()) === 0);
  client.socket.resume();
  await until(() => client.socket.destroyed);
});

test("a refusal over HTTP/2 waits for no window, and has its body where there is one", async () => {
  const nobody = { ...GET, ":authority": "nobody.example", ":path": "/" };
  const without = await rawClient(0);
  without.ask(1, nobody);
  await until(() => without.got(frames.HEADERS, 1).length > 0);
  const [head] = without.got(frames.HEADERS, 1);
  assert.equal(head!.readUInt8(4) & flags.END_STREAM, flags.END_STREAM);
  const withOne = await rawClient(65_535);
  withOne.ask(1, nobody);
  await until(() => withOne.got(frames.DATA, 1).length > 0);
  assert.match(String(withOne.got(frames.DATA, 1)[0]), /host_unknown/);
  without.socket.destroy();
  withOne.socket.destroy();
});
