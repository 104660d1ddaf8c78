import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { SteadyRequest } from "./steady-request.ts";

const HEAD = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const END = "0\r\n\r\n";

/** Chunks of one byte each. */
function chunked(text: string): string {
  return Array.from(text, (byte) => `1\r\n${byte}\r\n`).join("");
}

/** A client, and the request that it has begun. */
async function begun(t: TestContext): Promise<{ client: Socket; request: IncomingMessage }> {
  const server = createServer({ IncomingMessage: SteadyRequest, highWaterMark: 131_072 });
  server.on("request", (request, response) => {
    request.once("end", () => response.end("taken"));
    if (request.method === "GET") request.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  t.after(() => client.destroy());
  client.on("error", () => {}).write(HEAD);
  const [request] = await once(server, "request");
  return { client, request };
}

test("a body in chunks of one byte arrives whole, in hundreds of bytes, and the next request after it", async (t) => {
  const { client, request } = await begun(t);
  const sent = "0123456789".repeat(5_000);
  client.write(chunked(sent) + END + "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const chunks: string[] = [];
  request.setEncoding("latin1").on("data", (chunk: string) => chunks.push(chunk));
  await once(request, "end");
  assert.equal(chunks.join(""), sent);
  assert.ok(chunks.length < 500, `${chunks.length} chunks`);
  let answers = "";
  for await (const chunk of client) {
    answers += String(chunk);
    if (answers.split("taken").length === 3) break;
  }
});

test("a small body is there with its end, and one that comes slowly as it comes", async (t) => {
  const { client, request } = await begun(t);
  const came: string[] = [];
  request.setEncoding("latin1").on("data", (chunk: string) => came.push(chunk));
  for (const piece of ["a", "b"]) {
    client.write(chunked(piece));
    while (!came.includes(piece)) await turn();
  }
  client.write(chunked("c") + END);
  await once(request, "end");
  assert.deepEqual(came, ["a", "b", "c"]);
});

test("after many pieces the connection is read no further until others had their turn", async (t) => {
  const { client, request } = await begun(t);
  const flood = chunked("a".repeat(100_000));
  client.write(flood);
  request.resume();
  await once(request, "data");
  for (let i = 0; i < 30; i += 1) await turn();
  const read = request.socket.bytesRead;
  assert.ok(read < 200_000, `${read} of ${flood.length} bytes`);
  client.write(END);
  await once(request, "end");
});

test("what waits of a body that nobody reads is few buffers", async (t) => {
  const { client, request } = await begun(t);
  client.write(chunked("a".repeat(400_000)));
  request.once("data", () => request.pause());
  await once(request, "data");
  while (request.readableLength < 100_000) await turn();
  const waiting = request.readableLength;
  let count = 0;
  let bytes = 0;
  const all = Promise.withResolvers<void>();
  request.on("data", (chunk: Buffer) => {
    count += 1;
    bytes += chunk.length;
    if (bytes >= waiting) all.resolve();
  });
  request.resume();
  await all.promise;
  assert.ok(count < 2_000, `${count} buffers`);
});

test("a large body that nobody reads stays with its sender, and arrives whole once somebody does", async (t) => {
  const { client, request } = await begun(t);
  const size = 4_000_000;
  client.write(`${size.toString(16)}\r\n${"a".repeat(size)}\r\n${END}`);
  while (request.readableLength < 131_072) await turn();
  for (let i = 0; i < 10; i += 1) await turn();
  assert.ok(request.socket.bytesRead < 500_000, `${request.socket.bytesRead} bytes were read`);
  let bytes = 0;
  request.on("data", (chunk: Buffer) => (bytes += chunk.length));
  await once(request, "end");
  assert.equal(bytes, size);
});

test("a client that goes away while it waits ends its request", async (t) => {
  const { client, request } = await begun(t);
  client.write(chunked("a".repeat(50_000)));
  request.on("error", () => {}).resume();
  await once(request, "data");
  client.resetAndDestroy();
  await new Promise((resolve) => request.once("close", resolve));
});
