import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { copyFile, link, mkdir, open, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type AssetContent,
  type AssetContents,
  type AssetFile,
  bytesOnDisk,
  contentKey,
} from "../contract/assets.ts";
import { Failure } from "../failures/failures.ts";

/**
 * The contents of static assets, a folder an account: each content is one file, named by its hash
 * and size, that never changes. Versions get links to them.
 */
export class AssetStore implements AssetContents {
  readonly #folderOf: (accountId: string) => string;
  /** Bytes on the disk or on their way there. */
  readonly #taken = new Map<string, Promise<{ bytes: number }>>();

  /** @param folderOf where an account's data are; it may throw */
  constructor(folderOf: (accountId: string) => string) {
    this.#folderOf = folderOf;
  }

  async missing(
    accountId: string,
    files: readonly AssetContent[],
  ): Promise<readonly AssetContent[]> {
    const present = new Set(await this.#keys(accountId));
    return files.filter((file) => !present.has(contentKey(file)));
  }

  async put(
    accountId: string,
    file: AssetContent,
    content: AsyncIterable<Uint8Array>,
    most: number,
  ): Promise<void> {
    const path = this.#path(accountId, file);
    const taken = await this.#takenBy(accountId);
    const bytes = bytesOnDisk(file.size);
    if (taken.bytes + bytes > most) throw tooLarge(most);
    taken.bytes += bytes;
    let isNew = false;
    try {
      isNew = await this.#write(path, file, content);
    } finally {
      if (!isNew) taken.bytes -= bytes;
    }
  }

  async bytes(accountId: string): Promise<number> {
    return (await this.#takenBy(accountId)).bytes;
  }

  async keepOnly(accountId: string, files: ReadonlySet<string>): Promise<void> {
    for (const key of await this.#keys(accountId)) {
      if (files.has(key)) continue;
      await rm(this.#pathOf(accountId, key), { force: true });
    }
    const drafts = join(this.#root(accountId), DRAFTS);
    for (const name of await entries(drafts)) {
      const draft = join(drafts, name);
      const { mtimeMs } = await stat(draft).catch(() => ({ mtimeMs: Infinity }));
      if (Date.now() - mtimeMs > LONGEST_UPLOAD) await rm(draft, { force: true });
    }
    this.#taken.delete(accountId);
  }

  /**
   * Makes a folder in which each path is the file's content.
   * @throws Failure `assets_lost`
   */
  async layOut(accountId: string, folder: string, files: readonly AssetFile[]): Promise<void> {
    await mkdir(folder, { mode: 0o755 });
    const made = new Set([folder]);
    await inBatches(files, async (file) => {
      const to = join(folder, ...file.path.split("/"));
      const parent = dirname(to);
      if (!made.has(parent)) await mkdir(parent, { recursive: true, mode: 0o755 });
      made.add(parent);
      try {
        await linkOrCopy(this.#path(accountId, file), to);
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
        throw new Failure("assets_lost", {
          message: `the static asset "${file.path}" is not on this machine any more`,
          cause,
        });
      }
    });
  }

  /** @returns whether it was not there before */
  async #write(
    path: string,
    { hash, size }: AssetContent,
    content: AsyncIterable<Uint8Array>,
  ): Promise<boolean> {
    const folder = dirname(path);
    const drafts = join(dirname(folder), DRAFTS);
    await mkdir(drafts, { recursive: true, mode: 0o700 });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const draft = join(drafts, randomUUID());
    try {
      {
        await using file = await open(draft, "wx", 0o444);
        let written = 0;
        for await (const chunk of content) {
          written += chunk.byteLength;
          if (written > size) throw unexpected(hash, size);
          await file.write(chunk);
        }
        if (written !== size) throw unexpected(hash, size);
        await file.sync();
      }
      // workerd makes ETags of it, which are the same then wherever the content is served.
      const seconds = Number.parseInt(hash.slice(0, 7), 16);
      await utimes(draft, seconds, seconds);
      const isNew = !(await exists(path));
      await rename(draft, path);
      return isNew;
    } finally {
      await rm(draft, { force: true });
    }
  }

  #takenBy(accountId: string): Promise<{ bytes: number }> {
    const taken = this.#taken.get(accountId) ?? this.#count(accountId);
    this.#taken.set(accountId, taken);
    taken.catch(() => this.#taken.delete(accountId));
    return taken;
  }

  async #count(accountId: string): Promise<{ bytes: number }> {
    const sizes = (await this.#keys(accountId)).map((key) => Number(key.split("-")[1]));
    return { bytes: sizes.reduce((sum, size) => sum + bytesOnDisk(size), 0) };
  }

  async #keys(accountId: string): Promise<readonly string[]> {
    const root = this.#root(accountId);
    const folders = (await entries(root)).filter((name) => name !== DRAFTS);
    const keys = await Promise.all(folders.map((name) => entries(join(root, name))));
    return keys.flat().filter((name) => /^[0-9a-f]{32}-\d+$/.test(name));
  }

  #path(accountId: string, file: AssetContent): string {
    return this.#pathOf(accountId, contentKey(file));
  }

  #pathOf(accountId: string, key: string): string {
    return join(this.#root(accountId), key.slice(0, 2), key);
  }

  #root(accountId: string): string {
    return join(this.#folderOf(accountId), "assets");
  }
}

/** The same files in another folder. */
export async function copyLinks(from: string, to: string): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  const all = await readdir(from, { withFileTypes: true });
  for (const entry of all.filter((one) => one.isDirectory())) {
    await copyLinks(join(from, entry.name), join(to, entry.name));
  }
  await inBatches(
    all.filter((one) => one.isFile()),
    (entry) => linkOrCopy(join(from, entry.name), join(to, entry.name)),
  );
}

const DRAFTS = "drafts";
/** ms */
const LONGEST_UPLOAD = 60 * 60_000;
/** Files at a time. */
const BATCH = 32;

async function inBatches<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < all.length; at += BATCH) {
    await Promise.all(all.slice(at, at + BATCH).map(act));
  }
}

/** Runs may be on another file system than data. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["EXDEV", "EMLINK", "EPERM", "ENOTSUP"].includes(code)) throw error;
    await copyFile(from, to, constants.COPYFILE_EXCL);
    const { atime, mtime } = await stat(from);
    await utimes(to, atime, mtime);
  }
}

async function entries(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

function unexpected(hash: string, size: number): Failure {
  return new Failure("asset_unexpected", {
    message: `the static asset ${hash} does not have the ${size} bytes that were announced`,
    facts: { hash, size },
  });
}

function tooLarge(most: number): Failure {
  return new Failure("assets_too_large", {
    message: `the account's static assets would take more than ${most / 1024 / 1024} MiB`,
    facts: { limitBytes: most },
  });
}
