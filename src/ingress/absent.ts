import { createServer, type Server } from "node:http";
import { chmod, rm } from "node:fs/promises";
import { HEADER_BUFFER } from "../forward/limits.ts";
import { guarded } from "../forward/guarded.ts";
import { InFlight } from "../forward/in-flight.ts";
import { answerUnread } from "../forward/unread.ts";
import { refuse, unreadAnswer } from "./refuse.ts";
import { newRay } from "../failures/rendered.ts";

/** Answers service bindings whose target is not deployed, at the socket where their paths lead. */
export async function listenForAbsent(path: string): Promise<Server> {
  const server = createServer(
    { maxHeaderSize: HEADER_BUFFER, requireHostHeader: false },
    (request, response) => {
      // A connection that stayed open would lead here even after the service was deployed.
      response.shouldKeepAlive = false;
      guarded(response, () => refuse(request, response, "service_not_deployed", newRay()))();
    },
  );
  const none = new InFlight();
  server.on("clientError", (error, socket) => {
    guarded(socket, () => answerUnread(error, socket, none, unreadAnswer))();
  });
  await rm(path, { force: true });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  // Links to it are in folders that decide who may connect.
  await chmod(path, 0o666);
  return server;
}
