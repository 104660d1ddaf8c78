import { createServer, type Server } from "node:http";
import type { Socket } from "node:net";
import { HEADER_BUFFER } from "../forward/limits.ts";
import { guarded } from "../forward/guarded.ts";
import { InFlight } from "../forward/in-flight.ts";
import { answerUnread } from "../forward/unread.ts";
import { refuse, unreadAnswer } from "./refuse.ts";
import { Failure } from "../failures/failures.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import { RPC_HOST } from "./protocol.ts";
import { rpcAbort } from "./rpc-abort.ts";
import { newRay } from "../failures/rendered.ts";

/** Answers service bindings whose target is not deployed, at the socket where their paths lead. */
export async function listenForAbsent({ handle }: PassedHandle): Promise<Server> {
  const server = createServer(
    { maxHeaderSize: HEADER_BUFFER, requireHostHeader: false },
    (request, response) => {
      // A connection that stayed open would lead here even after the service was deployed.
      response.shouldKeepAlive = false;
      guarded(response, () => refuse(request, response, "service_not_deployed", newRay()))();
    },
  );
  server.on("connect", ({ url }, socket: Socket) => {
    socket.on("error", () => socket.destroy());
    if (url === RPC_HOST) refuseCall(socket);
    else socket.destroy();
  });
  const none = new InFlight();
  server.on("clientError", (error, socket) => {
    guarded(socket, () => answerUnread(error, socket, none, unreadAnswer))();
  });
  await new Promise<void>((resolve) => server.listen(handle, resolve));
  return server;
}

/** The caller's RPC rejects with what a request is answered with. */
function refuseCall(socket: Socket): void {
  // What the caller has sent is read to its end: unread, it would reset the connection.
  socket.resume().setTimeout(LINGER, () => socket.destroy());
  socket.write("HTTP/1.1 200 OK\r\n\r\n");
  socket.end(NOT_DEPLOYED);
}

/** ms */
const LINGER = 5_000;

const { code, message, entry, fix } = new Failure("service_not_deployed");
/** The runtime makes an `Error` of what follows its own prefix. */
const NOT_DEPLOYED = rpcAbort(`jsg.Error: ${message}: error ${entry.number} (${code}). ${fix}`);
