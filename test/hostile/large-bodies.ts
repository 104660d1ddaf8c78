import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { Readable } from "node:stream";
import { text as textOf } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test } from "node:test";
import { startTestEdge, type TestEdge } from "../helpers/edge.ts";
import { http2Session } from "../helpers/http2-session.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { makeVersion } from "../helpers/source.ts";
import { until } from "../helpers/until.ts";

// Bodies of 1 GiB over HTTPS: no process on the way holds more of them than it has to.

const HOST = "large.example";
const GIB = 2 ** 30;
/** MiB by which a process may grow: buffers of sockets and streams, and garbage. */
const MOST = 160;

const WORKER = `
const seen = { made: 0, cancelled: 0, broken: 0, whole: 0, bytes: 0 };
const chunk = new Uint8Array(1024 * 1024).fill(7);
export default { async fetch(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/anew") seen.bytes = 0;
  if (pathname === "/seen" || pathname === "/anew") return Response.json(seen);
  if (pathname === "/down") {
    let left = 1024;
    seen.made = 0;
    return new Response(new ReadableStream({
      pull(controller) {
        if (left-- === 0) return controller.close();
        controller.enqueue(chunk.slice());
        seen.made++;
      },
      cancel() { seen.cancelled++; },
    }));
  }
  let bytes = 0;
  request.signal.addEventListener("abort", () => seen.broken++);
  for await (const part of request.body) { bytes += part.length; seen.bytes = bytes; }
  seen.whole++;
  return Response.json({ bytes });
} };`;

let edge: TestEdge;
let ca: string;
let port = 0;
before(async () => {
  const authority = await makeAuthority();
  ca = authority.pem;
  const { chain, key } = await authority.issue({ subject: "CN=large", dns: [HOST] });
  edge = await startTestEdge({
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { chain, key } },
  });
  port = Number(new URL(edge.edge.httpsUrl!).port);
  const version = makeVersion("large", WORKER);
  await edge.deploy(
    { ...version, compatibilityFlags: ["enable_request_signal"] },
    { hosts: [HOST] },
  );
});
after(() => edge[Symbol.asyncDispose]());

/** A request whose answer has begun, with its body still to be read. */
interface Exchange {
  readonly status: number;
  readonly body: Readable;
  /** Ends the request, like a client that goes away. */
  abort(this: void): void;
}

interface Sent {
  readonly path: string;
  readonly body?: Readable;
  /** Called while the request is in flight, even if its answer never comes. */
  readonly began?: (abort: () => void) => void;
}

async function overHttp1({ path, body, began }: Sent): Promise<Exchange> {
  const client = request({
    host: "127.0.0.1",
    port,
    path,
    method: body === undefined ? "GET" : "POST",
    servername: HOST,
    ca,
    agent: false,
    headers: { host: `${HOST}:${port}` },
  });
  const abort = (): void => void client.destroy();
  const answered = once(client, "response") as Promise<[IncomingMessage]>;
  if (body === undefined) client.end();
  // An aborted request shows its error at the answer.
  else pipeline(body, client).catch(() => {});
  began?.(abort);
  const [response] = await answered;
  return { status: response.statusCode!, body: response, abort };
}

async function overHttp2({ path, body, began }: Sent): Promise<Exchange> {
  const session = http2Session(HOST, { port, ca, pair: null });
  const method = body === undefined ? "GET" : "POST";
  const stream = session.request(
    { ":authority": `${HOST}:${port}`, ":path": path, ":method": method },
    { endStream: body === undefined },
  );
  stream.on("close", () => session.close());
  // Readers see the error; if nobody reads any more, `abort` has caused it.
  stream.on("error", () => {});
  const abort = (): void => session.destroy(new Error("it goes away"));
  const answered = once(stream, "response") as Promise<[Record<string, unknown>]>;
  if (body !== undefined) pipeline(body, stream).catch(() => {});
  began?.(abort);
  const [headers] = await answered;
  return { status: Number(headers[":status"]), body: stream, abort };
}

async function seen(path = "/seen"): Promise<Record<string, number>> {
  const { text } = await edge.fetch(HOST, path);
  return JSON.parse(text) as Record<string, number>;
}

function gibibyte(): Readable {
  const chunk = Buffer.alloc(2 ** 20, 7);
  return Readable.from(
    (function* () {
      for (let sent = 0; sent < GIB; sent += chunk.length) yield chunk;
    })(),
    { objectMode: false, highWaterMark: 2 ** 20 },
  );
}

/** By how many MiB the ingress grew at most while `work` ran. */
async function grown(work: () => Promise<unknown>): Promise<number> {
  const pid = edge.edge.status().ingress.pid!;
  const read = (name: string): number =>
    Number(
      new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1],
    ) / 1024;
  // Resets the peak.
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
  const held = read("VmRSS");
  await work();
  return read("VmHWM") - held;
}

const ways = { "HTTP/1.1": overHttp1, "HTTP/2": overHttp2 };

for (const [protocol, ask] of Object.entries(ways)) {
  describe(`over ${protocol}, 1 GiB`, () => {
    test("comes down, and the ingress grows by a bounded amount", async () => {
      let bytes = 0;
      const most = await grown(async () => {
        const { status, body } = await ask({ path: "/down" });
        assert.equal(status, 200);
        for await (const part of body) bytes += (part as Buffer).length;
      });
      assert.equal(bytes, GIB);
      assert.ok(most < MOST, `it grew by ${most} MiB`);
    });

    test("goes up, and the ingress grows by a bounded amount", async () => {
      let text = "";
      const most = await grown(async () => {
        const { body } = await ask({ path: "/up", body: gibibyte() });
        text = await textOf(body);
      });
      assert.deepEqual(JSON.parse(text), { bytes: GIB });
      assert.ok(most < MOST, `it grew by ${most} MiB`);
    });

    test("that its client does not read is not made, and is cut for the Worker when the client goes", async () => {
      const { cancelled } = await seen();
      const most = await grown(async () => {
        const { body, abort } = await ask({ path: "/down" });
        await once(body, "readable");
        let last = -1;
        // Repeated until a few answers in a row show no new allocation.
        let same = 0;
        await until(async () => {
          const { made } = await seen();
          same = made === last ? same + 1 : 0;
          last = made!;
          return same === 10;
        });
        assert.ok(last < MOST, `${last} MiB were made for a client that reads nothing`);
        abort();
        await until(async () => (await seen())["cancelled"]! > cancelled!);
      });
      assert.ok(most < MOST, `it grew by ${most} MiB`);
    });

    test("whose client goes in the middle of sending it breaks off for the Worker", async () => {
      const { broken, whole } = await seen("/anew");
      const asked = ask({
        path: "/up",
        body: gibibyte(),
        began: (abort) =>
          void until(async () => (await seen())["bytes"]! > 50 * 2 ** 20).then(abort),
      });
      await assert.rejects(asked);
      await until(async () => (await seen())["broken"]! > broken!);
      assert.equal((await seen())["whole"], whole);
    });
  });
}
