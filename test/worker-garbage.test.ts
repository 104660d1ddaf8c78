import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { startTestEdge } from "./helpers/edge.ts";
import { makeVersion } from "./helpers/source.ts";

const ROUND = 5_000;
const ROUNDS = 30;

/** It answers each round with a byte, so that the next may come. */
const WORKER = `export default { fetch() {
  const { 0: client, 1: server } = new WebSocketPair();
  let count = 0;
  server.accept();
  server.addEventListener("message", () => { if (++count % ${ROUND} === 0) server.send("x"); });
  return new Response(null, { status: 101, webSocket: client });
} };`;

const MEGABYTES = 1024 * 1024;

test("a Worker does not keep what it has handled: 150,000 messages of a WebSocket", async () => {
  await using edge = await startTestEdge();
  await edge.deploy(makeVersion("handles", WORKER), { hosts: ["handles.example"] });
  const { memory: before } = edge.worker("handles");
  const socket = connect(edge.edge.httpPort, "127.0.0.1");
  socket.write(
    [
      "GET / HTTP/1.1",
      "host: handles.example",
      "connection: upgrade",
      "upgrade: websocket",
      "sec-websocket-version: 13",
      "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==",
      "\r\n",
    ].join("\r\n"),
  );
  await once(socket, "data");
  // One byte, masked with zeros.
  const message = Buffer.from([0x82, 0x81, 0, 0, 0, 0, 0x78]);
  const round = Buffer.concat(Array.from({ length: ROUND }, () => message));
  for (let i = 0; i < ROUNDS; i += 1) {
    socket.write(round);
    await once(socket, "data");
  }
  const { memory } = edge.worker("handles");
  socket.destroy();
  assert.ok(memory! - before! < 100 * MEGABYTES, `${(memory! - before!) / MEGABYTES} MiB more`);
});
