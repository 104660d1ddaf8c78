import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Failure } from "../failures/failures.ts";

/** A data folder that this process alone holds until it is disposed of, or dies in any way. */
export interface DataFolder extends Disposable {
  readonly path: string;
  readonly database: string;
  /** For generated files and sockets: emptied at each start. */
  readonly run: string;
}

/**
 * Creates the folder (0700) where there is none, and locks it.
 * @throws Failure `data_folder_in_use` naming the process that holds it, `data_folder_unusable`
 */
export function openDataFolder(path: string): DataFolder {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (cause) {
    throw new Failure("data_folder_unusable", {
      message: `the data folder "${path}" cannot be made or written: ${(cause as Error).message}`,
      cause,
    });
  }
  const unlock = lock(path);
  const pidFile = join(path, "pid");
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return {
    path,
    database: join(path, "countersign.db"),
    run: join(path, "run"),
    [Symbol.dispose]: () => {
      rmSync(pidFile, { force: true });
      unlock();
    },
  };
}

/**
 * The lock is an exclusive transaction on a database of its own: the kernel ends it with the
 * process, however that dies, which a pid file cannot promise.
 */
function lock(path: string): () => void {
  const database = new DatabaseSync(join(path, "lock"), { timeout: 0 });
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (cause) {
    database.close();
    const holder = readHolder(path);
    throw new Failure("data_folder_in_use", {
      message: `the data folder "${path}" is in use${holder === null ? "" : ` by process ${holder}`}`,
      cause,
      facts: { dataFolder: path, pid: holder },
    });
  }
  return () => database.close();
}

function readHolder(path: string): number | null {
  try {
    return Number.parseInt(readFileSync(join(path, "pid"), "utf8"), 10) || null;
  } catch {
    return null;
  }
}
