import assert from "node:assert/strict";
import type { ServerHttp2Stream } from "node:http2";
import { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import { test, type TestContext } from "node:test";
import { Http2Request } from "./http2-request.ts";

const HEAD = [":method", "POST", ":path", "/", ":authority", "a"];

/** A request, and its stream, into which a test puts what the client sends. */
function begun(): { stream: Readable; request: Http2Request } {
  const stream = new Readable({ read() {} });
  Object.assign(stream, { endAfterHeaders: false, rstCode: 0, aborted: false, close() {} });
  const request = new Http2Request(
    stream as unknown as ServerHttp2Stream,
    HEAD,
    {} as unknown as TLSSocket,
  );
  return { stream, request };
}

/** So many frames of one byte, and all the time that their sender has to wait. */
async function sends(t: TestContext, stream: Readable, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 500) {
    for (let i = 0; i < 500; i += 1) stream.push("a");
    await turn();
    await turn();
    t.mock.timers.tick(60_000);
  }
}

test("a body in frames of one byte arrives whole, in hundreds of bytes", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { stream, request } = begun();
  const chunks: string[] = [];
  request.setEncoding("latin1").on("data", (chunk: string) => chunks.push(chunk));
  await sends(t, stream, 20_000);
  stream.push(null);
  while (!request.readableEnded) {
    await turn();
    t.mock.timers.tick(60_000);
  }
  assert.equal(chunks.join(""), "a".repeat(20_000));
  assert.ok(chunks.length < 1_000, `${chunks.length} chunks`);
});

test("of a body that nobody reads no more is taken, however long its client has waited", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { stream, request } = begun();
  request.once("data", () => request.pause());
  await sends(t, stream, 100_000);
  for (let i = 0; i < 400; i += 1) {
    await turn();
    await turn();
    t.mock.timers.tick(60_000);
  }
  // What is left in the stream closes its window.
  assert.ok(request.readableLength < 67_000, `${request.readableLength} bytes were taken`);
  assert.ok(stream.readableLength > 30_000, `${stream.readableLength} bytes wait`);
  let rest = 0;
  request.on("data", (chunk: Buffer) => (rest += chunk.length)).resume();
  for (let i = 0; i < 2_000; i += 1) {
    await turn();
    t.mock.timers.tick(60_000);
  }
  assert.ok(rest >= 99_000, `${rest} bytes came`);
});
