import { rmSync } from "node:fs";
import { lstat, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { identityOf } from "../process/orphans.ts";

/**
 * A folder for the sockets of one run, which only this user may enter. Its path is short, because a socket's path is
 * limited. It is also removed when the process exits, because on a signal Miniflare itself ends the process. The next
 * run removes that of one that was killed.
 */
export async function makeRunFolder(): Promise<Disposable & { readonly path: string }> {
  await removeLeft(tmpdir());
  const path = await mkdtemp(join(tmpdir(), PREFIX));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  process.once("exit", remove);
  await writeFile(join(path, OWNER), `${process.pid} ${await identityOf(process.pid)}`);
  return {
    path,
    [Symbol.dispose]: () => {
      process.off("exit", remove);
      remove();
    },
  };
}

/** Removes the folders of this user's runs that ended without removing them. Others may write to `within`. */
export async function removeLeft(within: string): Promise<void> {
  const user = process.getuid?.();
  const names = await readdir(within).catch(() => []);
  for (const name of names.filter((one) => one.startsWith(PREFIX))) {
    const path = join(within, name);
    try {
      const folder = await lstat(path);
      if (!folder.isDirectory() || folder.uid !== user) continue;
      const owner = await readFile(join(path, OWNER), "utf8");
      const pid = Number(/^\d+(?= )/.exec(owner)?.[0]);
      if (!Number.isSafeInteger(pid) || owner === `${pid} ${await identityOf(pid)}`) continue;
      await rm(path, { recursive: true, force: true });
    } catch {
      // Nobody's, or just being made or removed.
    }
  }
}

const PREFIX = "cs-";
/** The file that says whose a folder is. */
const OWNER = "owner";
