import { link, rename, rm } from "node:fs/promises";
import { connect, type Server, type Socket } from "node:net";
import { rmSync } from "node:fs";
import { join } from "node:path";

/**
 * A Unix socket's path may have 107 bytes, a data folder's more. `bind` and `connect` are made at
 * once, so the process stands in the folder for just that call and names the socket alone.
 */
export function inside<T>(folder: string, call: () => T): T {
  const before = process.cwd();
  process.chdir(folder);
  try {
    return call();
  } finally {
    process.chdir(before);
  }
}

export function connectInside(folder: string, name: string): Socket {
  return inside(folder, () => connect(name));
}

/** Listens on `name` in `folder`, after removing what a killed process left there. Mode 0600. */
export async function listenInside(server: Server, folder: string, name: string): Promise<void> {
  rmSync(join(folder, name), { force: true });
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      inside(folder, () => server.listen(name, resolve));
      process.umask(mask);
    });
  } finally {
    process.umask(mask);
  }
}

/**
 * Has a name lead to a socket by a hard link. A rename replaces what was there, so the name exists at
 * every moment.
 * @param fresh a name beside `at` that nothing else uses
 * @returns false: the socket, or the folder of the name, does not exist
 */
export async function linkOver(socket: string, at: string, fresh: string): Promise<boolean> {
  try {
    await link(socket, fresh);
    await rename(fresh, at);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return false;
  } finally {
    // POSIX: renaming one link of a file to another of the same does nothing, and leaves both.
    await rm(fresh, { force: true });
  }
}
