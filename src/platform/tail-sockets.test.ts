import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { TailSockets } from "./tail-sockets.ts";

void test("a refused upgrade ends the connection, though its client keeps it open", async (t) => {
  using sockets = new TailSockets({ connect: () => null });
  const server = createServer();
  t.after(() => server.close());
  server.on("upgrade", (request, socket, head) => sockets.upgrade(request, socket, head));
  const connections: Socket[] = [];
  server.on("connection", (socket: Socket) => connections.push(socket));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).on("error", () => {});
  t.after(() => client.destroy());
  client.write("GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  let said = "";
  client.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await once(client, "end");
  assert.match(said, /^HTTP\/1\.1 404 /);
  const [connection] = connections;
  if (!connection!.closed)
    await once(connection!, "close", { signal: AbortSignal.timeout(20_000) });
});
