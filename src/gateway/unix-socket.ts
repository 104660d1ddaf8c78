import { chmod, rm } from "node:fs/promises";
import type { Server } from "node:http";
import type { PassedHandle } from "../process/passed-handle.ts";

/** Where connections come from: a path at which nobody else listens, or a socket that others share. */
export type Listening = string | PassedHandle;

/**
 * Resolves when the socket accepts connections, of this user and of the folder's group, which is
 * that of the process it is for. A stale file from a killed process is replaced.
 */
export async function listenAtSocket(server: Server, at: Listening): Promise<void> {
  if (typeof at === "string") await rm(at, { force: true });
  await new Promise<void>((fulfil, reject) => {
    server.once("error", reject);
    server.listen(typeof at === "string" ? at : at.handle, fulfil);
  });
  // Of accepting, as when there are no files left: the next connection may be accepted.
  server.on("error", () => {});
  if (typeof at === "string") await chmod(at, 0o660);
}
