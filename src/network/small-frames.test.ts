import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Http2Stream } from "node:http2";
import { connect, type AddressInfo, type Socket } from "node:net";
import { type Duplex, Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { flags, frame, frames } from "../../test/helpers/raw-http2.ts";
import { until } from "../../test/helpers/until.ts";
import { SmallFrames } from "./small-frames.ts";

/** `:method POST`, `:scheme http`, `:path /`, `:authority a`. */
const HEAD = Buffer.from([0x83, 0x86, 0x84, 0x01, 0x01, 0x61]);
const ONE_BYTE = frame(frames.DATA, flags.NONE, 1, Buffer.from("x"));
const END = frame(frames.DATA, flags.END_STREAM, 1, Buffer.from("."));
const COUNT = 200_000;

interface Upload {
  readonly stream: Http2Stream;
  /** Frames that Node gave the stream, and the most of them in one turn. */
  readonly seen: { all: number; turn: number };
  /** What the stream was given. */
  readonly given: { chunks: number };
}

/** A client's upload in frames of one byte, sent at once. */
async function upload(t: TestContext): Promise<Upload> {
  const { promise, resolve } = Promise.withResolvers<Upload>();
  let socket: Socket;
  const server = createServer({ settings: { initialWindowSize: 1_000_000 } })
    .on("connection", (connection: Socket) => (socket = connection))
    .on("session", (session) => {
      session.setLocalWindowSize(1_000_000);
      session.on("error", () => {});
    })
    .on("stream", (stream) => {
      const given = { chunks: 0 };
      const seen = { all: 0, turn: 0 };
      const push = stream.push.bind(stream);
      stream.push = (chunk: unknown) => {
        given.chunks += 1;
        return push(chunk);
      };
      new SmallFrames(socket).join(stream);
      countTurns(stream, seen);
      resolve({ stream, seen, given });
    });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {}).resume();
  t.after(() => {
    client.destroy();
    server.close();
  });
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const settings = frame(frames.SETTINGS, flags.NONE, 0, Buffer.alloc(0));
  const ack = frame(frames.SETTINGS, flags.ACK, 0, Buffer.alloc(0));
  client.write(Buffer.concat([preface, settings]));
  // Its windows count once the server has told them.
  await once(client, "data");
  const head = frame(frames.HEADERS, flags.END_HEADERS, 1, HEAD);
  const body = Buffer.alloc(COUNT * ONE_BYTE.length, ONE_BYTE);
  client.write(Buffer.concat([ack, head, body, END]));
  return promise;
}

function countTurns(stream: Http2Stream, seen: Upload["seen"]): void {
  const push = stream.push.bind(stream);
  let now = 0;
  stream.push = (chunk: unknown) => {
    if (now === 0) setImmediate(() => (now = 0));
    if (chunk !== null) seen.all += 1;
    now += 1;
    seen.turn = Math.max(seen.turn, now);
    return push(chunk);
  };
}

test("a body in frames of one byte arrives whole, in pieces of hundreds of bytes", async (t) => {
  const { stream, given } = await upload(t);
  let text = "";
  for await (const chunk of stream.setEncoding("latin1")) text += chunk;
  assert.equal(text, `${"x".repeat(COUNT)}.`);
  assert.ok(given.chunks < COUNT / 100, `${given.chunks} pieces`);
});

test("after many small frames their connection is read no further until others had a turn", async (t) => {
  const { stream, seen } = await upload(t);
  stream.resume();
  await until(() => seen.all > COUNT);
  // What Node reads at once is 64 KiB.
  assert.ok(seen.turn <= 65_536 / ONE_BYTE.length + 1, `${seen.turn} frames in a turn`);
});

test("small frames that nobody reads are few pieces, and are there once somebody does", async (t) => {
  const { stream, seen, given } = await upload(t);
  await until(() => seen.all > COUNT);
  assert.ok(given.chunks < COUNT / 100, `${given.chunks} pieces`);
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
  assert.equal(bytes, COUNT + 1);
});

test("a connection on which something is being written is left to Node, which reads on afterwards", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const calls: string[] = [];
  const wire = { writeQueueSize: 1 };
  const handle = {
    readStop: () => calls.push("stop"),
    readStart: () => calls.push("start"),
    _parent: wire,
  };
  const connection = Object.assign(new Readable(), { _handle: handle }) as unknown as Duplex;
  const stream = new Readable({ read() {} });
  new SmallFrames(connection).join(stream as unknown as Http2Stream);
  for (const writeQueueSize of [1, 0]) {
    wire.writeQueueSize = writeQueueSize;
    for (let i = 0; i < 256; i += 1) stream.push(Buffer.from("x"));
    await turn();
    t.mock.timers.tick(1_000);
  }
  assert.deepEqual(calls, ["stop", "stop", "start"]);
});
