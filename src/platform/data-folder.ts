import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Failure } from "../failures/failures.ts";
import { storageFailure } from "../failures/of-storage.ts";
import { exclusiveLock } from "./exclusive-lock.ts";

/** A data folder that only this process holds until it is disposed of, or the process ends in any way. */
export interface DataFolder extends Disposable {
  readonly path: string;
  readonly database: string;
  /** For generated files and sockets: emptied at each start. */
  readonly run: string;
  /** Workers' data: one folder for each account. */
  readonly storage: string;
}

/**
 * Creates the folder (0700) if it is missing, and locks it.
 * @throws Failure `data_folder_in_use` naming the process that holds it, `data_folder_unusable`,
 * `data_folder_read_only`, `lock_damaged`, `disk_full`
 */
export function openDataFolder(path: string): DataFolder {
  try {
    return open(path);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw storageFailure(error, `the data folder "${path}"`) ?? error;
  }
}

function open(path: string): DataFolder {
  makeFolder(path);
  chmodSync(path, 0o700);
  refuseOtherKinds(path);
  const unlock = lock(path);
  const pidFile = join(path, "pid");
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return {
    path,
    database: join(path, "countersign.db"),
    run: join(path, "run"),
    storage: join(path, "storage"),
    [Symbol.dispose]: () => {
      rmSync(pidFile, { force: true });
      unlock();
    },
  };
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // Node reports this error for a new folder on a read-only file system too.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") assertWritable(path);
    throw error;
  }
}

/**
 * @param path of an existing folder, or of one that will be made below the nearest existing folder
 * @throws Error from the file system: EROFS, EACCES, ELOOP, … @throws Failure `data_folder_unusable` for a link to nothing
 */
export function assertWritable(path: string): void {
  let folder = resolve(path);
  // Looks at links themselves: below a link that leads nowhere, nothing can be made.
  while (lstatSync(folder, { throwIfNoEntry: false }) === undefined) folder = dirname(folder);
  if (statSync(folder, { throwIfNoEntry: false }) === undefined) {
    throw new Failure("data_folder_unusable", { message: `"${folder}" is a link to nothing` });
  }
  // With the dot, a file in the place of the folder is an error, too.
  accessSync(join(folder, "/") + ".", constants.W_OK);
}

const folders = ["run", "storage"];
const files = [
  "admin.sock",
  "countersign.db",
  "countersign.db-shm",
  "countersign.db-wal",
  "local-ca.pem",
  "lock",
  "master.key",
  "master.key.next",
  "pid",
];

/** @throws Failure `data_folder_unusable` if there is something else where a file or a folder has to be */
export function refuseOtherKinds(path: string): void {
  for (const name of [...files, ...folders]) {
    const is = otherKind(join(path, name), folders.includes(name));
    if (is === null) continue;
    const wanted = folders.includes(name) ? "folder" : "file";
    throw new Failure("data_folder_unusable", {
      message: `"${join(path, name)}" is ${is}: Countersign has a ${wanted} of that name there`,
      fix: "Move it away: it is none of Countersign's.",
    });
  }
}

/** Null: there is nothing, or what has to be there. */
function otherKind(path: string, isFolder: boolean): string | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return null;
  if (isFolder) return found.isDirectory() ? null : "no folder";
  if (found.isDirectory()) return "a folder";
  const target = found.isSymbolicLink() ? statSync(path, { throwIfNoEntry: false }) : found;
  // To open a named pipe is to wait for its other end, and to do nothing else until then.
  return target === undefined || target.isFile() || target.isSocket() ? null : "no file";
}

/** The file that is in the folder while a restore exchanges the database and Workers' data. */
export const HALF_RESTORED = "restoring";

/** @throws Failure `restore_unfinished` if the database and Workers' data may be of different times */
export function refuseHalfRestored(path: string): void {
  if (!existsSync(join(path, HALF_RESTORED))) return;
  throw new Failure("restore_unfinished", {
    message: `a restore into the data folder "${path}" has not ended`,
    facts: { dataFolder: path },
  });
}

function lock(path: string): () => void {
  try {
    return exclusiveLock(join(path, "lock"));
  } catch (cause) {
    const failure = storageFailure(cause, `the lock of the data folder "${path}"`);
    if (failure?.code === "database_damaged") {
      throw new Failure("lock_damaged", { message: failure.message, cause });
    }
    if (failure?.code !== "database_busy") throw failure ?? cause;
    const holder = readHolder(path);
    throw new Failure("data_folder_in_use", {
      message: `the data folder "${path}" is in use${holder === null ? "" : ` by process ${holder}`}`,
      cause,
      facts: { dataFolder: path, pid: holder },
    });
  }
}

function readHolder(path: string): number | null {
  try {
    return Number.parseInt(readFileSync(join(path, "pid"), "utf8"), 10) || null;
  } catch {
    return null;
  }
}
