import { lstat, opendir, rm } from "node:fs/promises";
import { join } from "node:path";

/** As workerd names a file that it has not written to its end. */
const UNFINISHED = /^\..+\.tmp$/;

/**
 * Removes the files that a process of storage was writing when it was killed: objects and values whose uploads
 * nobody can end any more.
 * @param folders each has a folder for each bucket or namespace
 * @param before ms since 1970: what was written to later is left alone, for a running process may write it
 */
export async function removeUnfinished(folders: readonly string[], before: number): Promise<void> {
  for (const folder of folders) {
    for await (const resource of namesIn(folder)) {
      const blobs = join(folder, resource, "blobs");
      for await (const name of namesIn(blobs)) {
        if (UNFINISHED.test(name)) await removeOlder(join(blobs, name), before);
      }
    }
  }
}

/** None of a folder that is not there. A bucket may have millions: one after the other. */
async function* namesIn(folder: string): AsyncGenerator<string> {
  try {
    for await (const { name } of await opendir(folder, { bufferSize: 1_000 })) yield name;
  } catch (error) {
    if (!GONE.has((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

const GONE: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR"]);

async function removeOlder(file: string, before: number): Promise<void> {
  const found = await lstat(file).catch(() => null);
  if (found?.isFile() === true && found.mtimeMs < before) await rm(file, { force: true });
}
