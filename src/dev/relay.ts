import { createServer, connect, type Socket } from "node:net";
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import { splice } from "../forward/sockets.ts";

/** Joins each connection to the socket at `path` with a new connection to the socket at `to`. */
export async function startRelay(path: string, to: string): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const other = connect({ path: to, allowHalfOpen: true });
    for (const one of [socket, other]) {
      open.add(one);
      one.once("close", () => open.delete(one));
    }
    splice(socket, other);
  });
  server.listen(path);
  await once(server, "listening");
  await chmod(path, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of open) {
        socket.destroy();
      }
      await closed;
    },
  };
}
