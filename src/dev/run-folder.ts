import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * A folder for the sockets of one run, which only this user may enter. Its path is short, because a socket's path is
 * limited. It is also removed when the process exits, because on a signal Miniflare itself ends the process.
 */
export async function makeRunFolder(): Promise<Disposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "cs-"));
  const remove = (): void => rmSync(path, { recursive: true, force: true });
  process.once("exit", remove);
  return {
    path,
    [Symbol.dispose]: () => {
      process.off("exit", remove);
      remove();
    },
  };
}
