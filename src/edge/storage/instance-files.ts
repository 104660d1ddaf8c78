import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";

/** The database of one instance of a Workflow. */
export interface InstanceFile {
  /** The object's id: 64 hex digits. */
  readonly key: string;
  /** ms since 1970: when it was made, and when it was last written. */
  readonly made: number;
  readonly written: number;
}

/**
 * The instances in a Workflow's folder, newest first. The Worker can write to this folder, so a file with an instance's
 * name may be anything, and at most `MOST_FILES` are looked at.
 */
export async function instanceFiles(folder: string): Promise<InstanceFile[]> {
  const found: InstanceFile[] = [];
  for (const key of await keysIn(folder)) {
    const one = await file(folder, key);
    if (one !== null) found.push(one);
  }
  return found.toSorted((a, b) => b.made - a.made || (a.key < b.key ? -1 : 1));
}

/** The cursor at which a listing continues after this instance. */
export function cursorAfter({ made, key }: InstanceFile): string {
  return `${made}-${key}`;
}

/** @param cursor made by `cursorAfter`; any other text means the beginning */
export function after(files: readonly InstanceFile[], cursor: string | undefined): InstanceFile[] {
  const [, time, last = ""] = /^(\d{1,16}(?:\.\d{1,9})?)-([0-9a-f]{64})$/.exec(cursor ?? "") ?? [];
  if (time === undefined) return [...files];
  const made = Number(time);
  return files.filter((one) => one.made < made || (one.made === made && one.key > last));
}

async function keysIn(folder: string): Promise<readonly string[]> {
  const keys: string[] = [];
  let left = MOST_FILES;
  const opened = await opendir(folder).catch(absent);
  for await (const { name } of opened ?? []) {
    const key = /^([0-9a-f]{64})\.sqlite$/.exec(name)?.[1];
    if (key !== undefined) keys.push(key);
    if (--left === 0) break;
  }
  return keys;
}

async function file(folder: string, key: string): Promise<InstanceFile | null> {
  const at = join(folder, `${key}.sqlite`);
  // The latest writes are in the log (WAL) beside the database. Links are not followed, because they may lead out of
  // the folder.
  const [base, log] = await Promise.all(
    [at, `${at}-wal`].map((path) => lstat(path).catch(() => null)),
  );
  if (!base?.isFile()) return null;
  return { key, made: base.birthtimeMs, written: Math.max(base.mtimeMs, log?.mtimeMs ?? 0) };
}

/** Null: no instance was ever created. */
function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}

/** Each instance has three files. */
const MOST_FILES = 300_000;
