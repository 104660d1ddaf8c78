import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

/** A binding, and an origin that reads no more than the beginning. `says` is its answer to that. */
async function bound(
  t: TestContext,
  says: string,
): Promise<{ gateway: TestGateway; port: number; sockets: TLSSocket[] }> {
  const authority = await makeAuthority();
  const gateway = await testGateway(t, { timeouts: { body: 300 } });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const sockets: TLSSocket[] = [];
  const server = createServer({ key, cert: chain }, (socket) => {
    sockets.push(socket.on("error", () => {}));
    socket.once("data", () => {
      socket.pause();
      socket.write(says);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { gateway, port: (server.address() as AddressInfo).port, sockets };
}

function flood(socket: Socket): void {
  const bytes = Buffer.alloc(65_536);
  const go = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", go);
  go();
}

for (const [what, head, says] of [
  ["connect()", (port: number) => `CONNECT localhost:${port} HTTP/1.1\r\n\r\n`, "hello"],
  [
    "a WebSocket",
    (port: number) =>
      `GET https://localhost:${port}/ HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  ],
] as const) {
  test(`the connection of ${what} to an origin that reads nothing of it is closed`, async (t) => {
    const { gateway, port } = await bound(t, says);
    const worker = connect(gateway.socket()).on("error", () => {});
    worker.write(head(port));
    await once(worker, "data");
    flood(worker);
    await until(() => worker.destroyed);
    if (what !== "connect()") return;
    await until(() => gateway.events.some(({ kind }) => kind === "failure"));
    const failures = gateway.events.flatMap((event) =>
      event.kind === "failure" ? event.code : [],
    );
    assert.deepEqual(failures, ["origin_not_reading"]);
  });
}
