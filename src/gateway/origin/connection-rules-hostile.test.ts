import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ClientHttp2Session } from "node:http2";
import { duplexPair, PassThrough } from "node:stream";
import { test, type TestContext } from "node:test";
import { flags, frame, frames, okHead, uint32 } from "../../../test/helpers/raw-http2.ts";
import { handOver } from "./connection-rules.ts";

const { constants } = http2;

test("a body that its origin resets is cut, whatever the code, and a whole one is whole", async (t) => {
  for (const [code, isWhole, message] of [
    [constants.NGHTTP2_NO_ERROR, false, "the stream was reset (0) before its end"],
    [constants.NGHTTP2_CANCEL, false, "Premature close"],
    [2, false, "Stream closed with error code NGHTTP2_INTERNAL_ERROR"],
    [constants.NGHTTP2_NO_ERROR, true, null],
  ] as const) {
    const { session, send } = raw(t);
    // A caller that says nothing of an end has said all.
    const body = session.request({ ":path": "/" }).toArray();
    send(HEADERS, flags.END_HEADERS, 1, okHead());
    send(frames.DATA, isWhole ? flags.END_STREAM : flags.NONE, 1, Buffer.from("half"));
    send(frames.RST_STREAM, flags.NONE, 1, uint32(code));
    if (message === null) assert.equal(String(Buffer.concat(await body)), "half");
    else await assert.rejects(body, { message });
    assert.ok(!session.destroyed);
  }
});

test("an upload is broken off without a word to who closes it, and nothing is thrown for it", async (t) => {
  const { session, sent } = raw(t);
  const stream = session.request({ ":path": "/", ":method": "POST" }, { endStream: false });
  stream.write("half");
  while (!sent().some(({ type }) => type === frames.DATA)) await turn();
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.close(constants.NGHTTP2_CANCEL);
  await closed;
  while (!sent().some(({ type }) => type === frames.RST_STREAM)) await turn();
  assert.ok(sent().every(({ type, bits }) => type !== frames.DATA || bits !== flags.END_STREAM));
});

test("who throws while it reads ends its own stream, and no other of the connection", async (t) => {
  const { session, send } = raw(t);
  const thrown = new Error("not thought of");
  const [one, other] = [session.request({ ":path": "/" }), session.request({ ":path": "/" })];
  one.on("data", (chunk: Buffer) => {
    if (String(chunk) === "whole") throw thrown;
  });
  const over = new Promise((resolve) => one.once("close", resolve));
  const body = other.toArray();
  send(HEADERS, flags.END_HEADERS, 1, okHead());
  send(frames.DATA, flags.NONE, 1, Buffer.from("first, "));
  await once(one, "data");
  send(HEADERS, flags.END_HEADERS, 3, okHead());
  for (const id of [1, 3]) {
    send(frames.DATA, flags.END_STREAM, id, Buffer.from("whole"));
  }
  await over;
  assert.equal(one.errored, thrown);
  assert.equal(String(Buffer.concat(await body)), "whole");
});

test("an origin that says goodbye without end is cut", async (t) => {
  const { session, send } = raw(t);
  const request = session.request({ ":path": "/" });
  const heard: unknown[] = [];
  session.on("goaway", (code) => heard.push(code));
  const goodbye = uint32(1, 0);
  for (let i = 0; i < 100; i += 1) send(frames.GOAWAY, flags.NONE, 0, goodbye);
  while (heard.length < 100) await turn();
  assert.ok(!session.destroyed);
  const failed = once(request, "error") as Promise<[Error & { code: string }]>;
  send(frames.GOAWAY, flags.NONE, 0, goodbye);
  const [error] = await failed;
  assert.deepEqual(
    [error.code, error.message],
    ["ERR_RESPONSE_MALFORMED", "more than 100 GOAWAYs"],
  );
});

test("an origin that sends informational responses without end is cut", () => {
  const { parser, stream } = parsed();
  for (let responses = 0; responses < 2; responses += 1) {
    for (let i = 0; i < 1_000; i += 1) assert.equal(parser.onHeadersComplete(102, false, true), 7);
    if (responses === 0) assert.equal(parser.onHeadersComplete(200, false, true), 7);
  }
  assert.equal(stream.destroyed, false);
  assert.equal(parser.onHeadersComplete(102, false, true), -1);
  const { code, message } = stream.errored as Error & { code: string };
  assert.equal(code, "ERR_RESPONSE_MALFORMED");
  assert.equal(message, "more than 1000 informational responses");
});

test("a status that is none ends its connection", () => {
  const { parser, stream } = parsed();
  assert.equal(parser.onHeadersComplete(99, false, true), -1);
  assert.equal(stream.errored?.message, "the status 99");
});

test("a body that nobody here can decode is refused, and one that only says chunked is not", () => {
  for (const [headers, refused] of [
    [["transfer-encoding", "chunked"], null],
    [["Transfer-Encoding", "Identity, CHUNKED"], null],
    [["content-encoding", "gzip", "x-transfer-encode", "gzip"], null],
    [["a", "b", "Transfer-Encoding", "GZIP, chunked"], "gzip, chunked"],
    [["transfer-encoding", "chunked", "transfer-encoding", "deflate"], "deflate"],
    // A field without a value, as far as it has come.
    [["transfer-encoding"], null],
  ] as const) {
    const { parser, stream } = parsed(headers);
    const outcome = parser.onHeadersComplete(200, false, true);
    assert.equal(outcome, refused === null ? 7 : -1, headers.join());
    if (refused === null) continue;
    const { code, message } = stream.errored as Error & { code: string };
    assert.equal(code, "ERR_TRANSFER_CODING");
    assert.equal(message, `the transfer coding "${refused}"`);
  }
});

/** A connection whose parser takes everything. */
function parsed(headers: readonly string[] = []): {
  readonly parser: { onHeadersComplete(...args: unknown[]): number };
  readonly stream: PassThrough;
} {
  const all = headers.map((one) => Buffer.from(one));
  const parser = { headers: all, execute() {}, onBody: () => 0, onHeadersComplete: () => 7 };
  const stream = new PassThrough().on("error", () => {});
  handOver(stream, () => Object.assign(stream, { [Symbol("parser")]: parser }));
  return { parser, stream };
}

interface Raw {
  readonly session: ClientHttp2Session;
  readonly send: (type: number, bits: number, stream: number, payload: Uint8Array) => void;
  /** What the origin got. */
  readonly sent: () => readonly { readonly type: number; readonly bits: number }[];
}

/** A connection that was handed over, to an origin that sends what it is told to. */
function raw(t: TestContext): Raw {
  const [ours, server] = duplexPair();
  let session: ClientHttp2Session | undefined;
  handOver(ours, () => {
    session = http2.connect("http://a.example", { createConnection: () => ours });
  });
  t.after(() => session!.destroy());
  let got = Buffer.alloc(0);
  server.on("data", (chunk: Buffer) => (got = Buffer.concat([got, chunk])));
  server.write(frame(frames.SETTINGS, flags.NONE, 0, Buffer.alloc(0)));
  return {
    session: session!,
    send: (...args) => server.write(frame(...args)),
    sent: () => {
      const all = [];
      for (let at = PREFACE; at + 9 <= got.length; at += 9 + got.readUIntBE(at, 3)) {
        all.push({ type: got[at + 3]!, bits: got[at + 4]! });
      }
      return all;
    },
  };
}

/** Bytes of `PRI * HTTP/2.0 …`. */
const PREFACE = 24;
const { HEADERS } = frames;

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
