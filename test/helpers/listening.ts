import { once } from "node:events";
import type { AddressInfo, Server, Socket } from "node:net";
import type { TestContext } from "node:test";

/** Listens on loopback until the test is over, when its connections end too. @returns the port */
export async function listening(t: Pick<TestContext, "after">, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
