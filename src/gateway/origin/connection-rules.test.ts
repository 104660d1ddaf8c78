import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ClientHttp2Session } from "node:http2";
import { connect, type AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { test, type TestContext } from "node:test";
import { HEADER_BUFFER } from "../../forward/limits.ts";
import { handOver, needsHttp1, wasNotProcessed } from "./connection-rules.ts";

const { constants } = http2;

test("a request that the origin says it did not process may be sent again, by whichever word", () => {
  const { NGHTTP2_REFUSED_STREAM, NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_CANCEL } = constants;
  for (const [error, expected] of [
    [coded(NGHTTP2_REFUSED_STREAM), [true, false]],
    [coded(NGHTTP2_HTTP_1_1_REQUIRED), [true, true]],
    [coded(NGHTTP2_CANCEL, "NGHTTP2_REFUSED_STREAM"), [false, false]],
    [new Error("Stream closed with error code NGHTTP2_REFUSED_STREAM"), [true, false]],
    [new Error("Stream closed with error code NGHTTP2_HTTP_1_1_REQUIRED"), [true, true]],
    [new Error("Stream closed with error code NGHTTP2_CANCEL"), [false, false]],
    [new Error('HTTP/2: "GOAWAY" frame received with code 0'), [true, false]],
    [new Error('HTTP/2: "GOAWAY" frame received with code 13'), [true, true]],
    [new Error('HTTP/2: "GOAWAY" frame received with code 131'), [true, false]],
    [new Error('HTTP/2: "frameError" received - type 1, code 2'), [true, false]],
    [new Error('HTTP/2: "frameError" received - type 11, code 2'), [false, false]],
    [new Error('x HTTP/2: "GOAWAY" frame received with code 0'), [false, false]],
  ] as const) {
    assert.deepEqual([wasNotProcessed(error), needsHttp1(error)], expected, error.message);
  }
});

test("Node's own way to connect is changed while a connection is handed over, and no longer", () => {
  const { connect: own } = http2;
  let during: unknown;
  handOver(new PassThrough(), () => (during = http2.connect));
  assert.notEqual(during, own);
  assert.equal(http2.connect, own);
  assert.throws(() =>
    handOver(new PassThrough(), () => {
      throw new Error("no");
    }),
  );
  assert.equal(http2.connect, own);
});

test("the limit for a head is announced to an origin", async (t) => {
  const { session, server } = await connection(t);
  const [peer] = (await server.session) as [http2.ServerHttp2Session];
  if (peer.remoteSettings.maxHeaderListSize !== HEADER_BUFFER) await once(peer, "remoteSettings");
  assert.equal(peer.remoteSettings.maxHeaderListSize, HEADER_BUFFER);
  assert.equal(peer.remoteSettings.enablePush, false, "what undici says is said too");
  // More than 64 KB and 128 fields, both ways.
  const many = Object.fromEntries(
    Array.from({ length: 300 }, (_, i) => [`x-${i}`, "v".repeat(300)]),
  );
  server.answer = (stream, headers) =>
    stream.respond({ ...many, "x-seen": headers["x-299"] }, { endStream: true });
  const stream = session.request({ ":path": "/", ...many }, { endStream: true });
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  assert.equal(headers["x-seen"], many["x-299"]);
  assert.equal(headers["x-299"], many["x-299"]);
});

test("a body that its origin cuts without an error is no whole one", async (t) => {
  const { session, server } = await connection(t);
  server.answer = (stream) => {
    stream.respond({ ":status": 200 });
    // To close it would end it first.
    stream.write("half", () => stream.destroy());
  };
  for (const endStream of [true, false]) {
    const stream = session.request({ ":path": "/", ":method": "POST" }, { endStream });
    const over = ["end", "error", "close"].map(
      (event) => new Promise((resolve) => stream.once(event, resolve)),
    );
    stream.resume();
    const told = (await Promise.race(over)) as { code: string; message: string } | undefined;
    assert.equal(told?.code, "ERR_HTTP2_STREAM_ERROR");
    assert.equal(told.message, "the stream was reset (0) before its end");
  }
});

test("a body that came to its end is a whole one", async (t) => {
  const { session, server } = await connection(t);
  server.answer = (stream) => {
    stream.respond({ ":status": 200 });
    stream.end("whole");
  };
  const stream = session.request({ ":path": "/" }, { endStream: true });
  assert.equal(String(Buffer.concat(await stream.toArray())), "whole");
});

test("an upload that is broken off never reaches its origin as a whole one", async (t) => {
  const { session, server } = await connection(t);
  const seen = Promise.withResolvers<boolean>();
  server.answer = (stream) => {
    stream.on("error", () => {}).on("close", () => seen.resolve(ended));
    let ended = false;
    stream.on("end", () => (ended = !stream.aborted)).resume();
    stream.respond({ ":status": 200 });
  };
  const stream = session.request({ ":path": "/", ":method": "POST" }, { endStream: false });
  stream.write("half");
  await once(stream, "response");
  const closed = new Promise<void>((resolve) => {
    stream.close(constants.NGHTTP2_CANCEL, () => resolve());
  });
  await closed;
  assert.equal(await seen.promise, false);
});

test("a stream that was sent whole is closed as usual", async (t) => {
  const { session, server } = await connection(t);
  server.answer = (stream) => {
    stream.resume();
    stream.respond({ ":status": 200 });
  };
  const stream = session.request({ ":path": "/", ":method": "POST" }, { endStream: false });
  stream.end("whole");
  await once(stream, "response");
  const closed = once(stream, "close");
  stream.close(constants.NGHTTP2_CANCEL);
  await closed;
  assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL);
});

test("a parser gets a 103 in place of a 100, and an error that it throws ends its connection", () => {
  const told: unknown[][] = [];
  let thrown: Error | null = null;
  const parser = {
    headers: [],
    execute() {},
    onBody: () => 0,
    onHeadersComplete: (...args: unknown[]) => {
      told.push(args);
      if (thrown !== null) throw thrown;
      return 7;
    },
  };
  const stream = new PassThrough().on("error", () => {});
  handOver(stream, () => Object.assign(stream, { [Symbol("parser")]: parser }));
  assert.equal(parser.onHeadersComplete(100, false, true), 7);
  assert.equal(parser.onHeadersComplete(200, true, false), 7);
  assert.deepEqual(told, [
    [103, false, true],
    [200, true, false],
  ]);
  thrown = new Error("not thought of");
  assert.equal(parser.onHeadersComplete(200, true, false), -1);
  assert.equal(stream.errored, thrown);
  for (const other of [null, undefined, {}]) {
    const without = new PassThrough();
    handOver(without, () => Object.assign(without, { [Symbol("parser")]: other }));
  }
});

function coded(http2ErrorCode: number, message = ""): Error {
  return Object.assign(new Error(message), { http2ErrorCode });
}

interface Connected {
  readonly session: ClientHttp2Session;
  readonly server: {
    answer: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;
    readonly session: Promise<unknown[]>;
  };
}

/** A real connection over HTTP/2 that was handed over. */
async function connection(t: TestContext): Promise<Connected> {
  const listener = http2.createServer({
    settings: { maxHeaderListSize: HEADER_BUFFER },
    maxHeaderListPairs: 1_000,
    maxSendHeaderBlockLength: HEADER_BUFFER,
  });
  const server: Connected["server"] = {
    answer: (stream) => stream.respond({}, { endStream: true }),
    session: once(listener, "session"),
  };
  listener.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    server.answer(stream as http2.ServerHttp2Stream, headers);
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  const { port } = listener.address() as AddressInfo;
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  let session: ClientHttp2Session | undefined;
  handOver(socket, () => {
    session = http2.connect(`http://127.0.0.1:${port}`, {
      createConnection: () => socket,
      settings: { enablePush: false },
    });
  });
  t.after(() => {
    session!.destroy();
    listener.close();
  });
  return { session: session!, server };
}
