import { lstat, opendir } from "node:fs/promises";
import { join } from "node:path";

/** The database of one instance. */
export interface InstanceFile {
  /** The object's id: 64 hex digits. */
  readonly key: string;
  /** ms: when it was made, and last written. */
  readonly made: number;
  readonly written: number;
}

/**
 * The instances in a Workflow's folder, newest first. The folder is a Worker's: what is named as an
 * instance may be anything, and more than `MOST_FILES` are not looked at.
 */
export async function instanceFiles(folder: string): Promise<InstanceFile[]> {
  const found: InstanceFile[] = [];
  for (const key of await keysIn(folder)) {
    const one = await file(folder, key);
    if (one !== null) found.push(one);
  }
  return found.toSorted((a, b) => b.made - a.made || (a.key < b.key ? -1 : 1));
}

/** Where a listing goes on after this one. */
export function cursorAfter({ made, key }: InstanceFile): string {
  return `${made}-${key}`;
}

/** @param cursor as of `cursorAfter`; one that is none begins at the start */
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
  // What is written last is in the log beside it. Links lead out of the folder.
  const [base, log] = await Promise.all(
    [at, `${at}-wal`].map((path) => lstat(path).catch(() => null)),
  );
  if (!base?.isFile()) return null;
  return { key, made: base.birthtimeMs, written: Math.max(base.mtimeMs, log?.mtimeMs ?? 0) };
}

/** Nothing was ever created. */
function absent(error: NodeJS.ErrnoException): null {
  if (error.code === "ENOENT") return null;
  throw error;
}

/** Each instance has three. */
const MOST_FILES = 300_000;
