import { lstat, opendir, rm } from "node:fs/promises";
import { join } from "node:path";

/** As workerd names a file that it has not written to its end. */
const UNFINISHED = /^\..+\.tmp$/;

/** Where the files of a bucket are, and those of a namespace. */
const FILES = [
  ["r2", "blobs"],
  ["kv-blobs", "b"],
] as const;

/**
 * Removes the files that a process of storage was writing when it was killed: objects and values whose uploads
 * nobody can end any more.
 * @param data the folder of an account's data
 * @param before ms since 1970: what was written to later is left alone, for a running process may write it
 */
export async function removeUnfinished(data: string, before: number): Promise<void> {
  for (const [kind, within] of FILES) {
    for await (const resource of namesIn(join(data, kind))) {
      const files = join(data, kind, resource, within);
      for await (const name of namesIn(files)) {
        if (UNFINISHED.test(name)) await removeOlder(join(files, name), before);
      }
    }
  }
}

/** None of a folder that is not there. A bucket may have millions: one after the other. */
export async function* namesIn(folder: string): AsyncGenerator<string> {
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
