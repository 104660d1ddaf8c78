import { chmod, rm } from "node:fs/promises";
import type { Server } from "node:http";

/**
 * Resolves when the socket accepts connections, of this user and of the folder's group, which is
 * that of the process it is for. A stale file from a killed process is replaced.
 */
export async function listenAt(server: Server, socketPath: string): Promise<void> {
  await rm(socketPath, { force: true });
  await new Promise<void>((fulfil, reject) => {
    server.once("error", reject);
    server.listen(socketPath, fulfil);
  });
  // Of accepting, as when there are no files left: the next connection may be accepted.
  server.on("error", () => {});
  await chmod(socketPath, 0o660);
}
