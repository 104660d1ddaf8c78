import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Where the sockets of one run are: only this user may enter. Short, for a socket's path is. It
 * goes at the end of the process too, which Miniflare brings about itself when it is signalled.
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
