import { createServer, type Server } from "node:http";
import { rm } from "node:fs/promises";
import { refuse } from "./refuse.ts";
import { newRay } from "../failures/rendered.ts";

/** Answers service bindings whose target is not deployed, at the socket where their paths lead. */
export async function listenForAbsent(socket: string): Promise<Server> {
  const server = createServer((request, response) => {
    // A connection that stayed open would lead here even after the service was deployed.
    response.shouldKeepAlive = false;
    refuse(request, response, "service_not_deployed", newRay());
  });
  await rm(socket, { force: true });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return server;
}
