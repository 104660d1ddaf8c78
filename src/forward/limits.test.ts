import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { test } from "node:test";
import { headerOverflow, headerSize, isHeaderOverflow } from "./limits.ts";

test("a header's size is that of its line: a colon, a space, and the end of the line", () => {
  const raw = ["host", "a.example", "x-a", ""];
  const written = "host: a.example\r\nx-a: \r\n";
  assert.equal(headerSize(raw), written.length);
  assert.equal(headerSize([]), 0);
});

test("too many header bytes are known as such, from Node's server too, and nothing else is", async () => {
  assert.ok(isHeaderOverflow(headerOverflow()));
  assert.match(headerOverflow().message, /too large/);
  const server = createServer({ maxHeaderSize: 100 }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  client.write(`GET / HTTP/1.1\r\nx-long: ${"a".repeat(500)}\r\n\r\n`);
  const [error, socket] = await once(server, "clientError");
  assert.ok(isHeaderOverflow(error));
  assert.ok(!isHeaderOverflow(Object.assign(new Error("other"), { code: "HPE_INVALID_METHOD" })));
  socket.destroy();
  client.destroy();
  server.close();
});
