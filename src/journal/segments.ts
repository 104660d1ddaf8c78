import { createReadStream } from "node:fs";
import { appendFile, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

export interface SegmentLimits {
  /** Bytes of one log. */
  readonly bytes: number;
  /** ms that a line is kept. */
  readonly age: number;
}

/**
 * One log: lines in files that follow one another, each named after the moment of its first line.
 * The oldest file goes when there are too many bytes, or its lines are too old.
 */
export class Segments {
  readonly #folder: string;
  readonly #limits: SegmentLimits;
  #current: { readonly name: string; bytes: number } | null = null;

  constructor(folder: string, limits: SegmentLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  /** @throws Error of the file system */
  async append(lines: string): Promise<void> {
    const bytes = Buffer.byteLength(lines);
    const most = Math.max(this.#limits.bytes / SEGMENTS, SMALLEST);
    const current = (this.#current ??= await this.#newest());
    if (current === null || current.bytes + bytes > most || this.#isFull(current.name)) {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      this.#current = { name: nameOf(Date.now()), bytes: 0 };
      await this.prune();
    }
    const { name } = this.#current!;
    try {
      await appendFile(join(this.#folder, name), lines, { mode: 0o600 });
    } catch (error) {
      this.#current = null;
      throw error;
    }
    this.#current!.bytes += bytes;
  }

  /** Newest first, a file at a time; lines in their order. */
  async *newestFirst(since = 0): AsyncGenerator<readonly string[]> {
    const names = (await this.#names()).toReversed();
    for (const [index, name] of names.entries()) {
      // All of it is older than the first line of the file after it.
      const next = names[index - 1];
      if (next !== undefined && momentOf(next) < since) return;
      yield await readLines(join(this.#folder, name));
    }
  }

  /** Removes what is over the limits. False: nothing is left. */
  async prune(): Promise<boolean> {
    const names = await this.#names();
    const sizes = await Promise.all(
      names.map((name) =>
        stat(join(this.#folder, name)).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    let total = sizes.reduce((sum, size) => sum + size, 0);
    let left = names.length;
    const horizon = Date.now() - this.#limits.age;
    for (const [index, name] of names.entries()) {
      const next = names[index + 1];
      const ends = next === undefined ? Date.now() : momentOf(next);
      const isOld = next === undefined ? await this.#isOlder(name, horizon) : ends < horizon;
      if (!isOld && total <= this.#limits.bytes - this.#limits.bytes / SEGMENTS) break;
      if (next === undefined && !isOld) break;
      await rm(join(this.#folder, name), { force: true });
      total -= sizes[index] ?? 0;
      left -= 1;
      if (this.#current?.name === name) this.#current = null;
    }
    return left > 0;
  }

  async remove(): Promise<void> {
    this.#current = null;
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #isOlder(name: string, horizon: number): Promise<boolean> {
    const { mtimeMs } = await stat(join(this.#folder, name)).catch(() => ({ mtimeMs: Infinity }));
    return mtimeMs < horizon;
  }

  /** Lines of a day are in a file of their own, so that they can go. */
  #isFull(name: string): boolean {
    return Date.now() - momentOf(name) > Math.min(DAY, this.#limits.age);
  }

  async #newest(): Promise<{ name: string; bytes: number } | null> {
    const name = (await this.#names()).at(-1);
    if (name === undefined) return null;
    const file = join(this.#folder, name);
    const { size } = await stat(file);
    // What is written behind a line that a crash or a full disk has cut would be cut with it.
    return (await endsWell(file, size)) ? { name, bytes: size } : null;
  }

  async #names(): Promise<string[]> {
    try {
      return (await readdir(this.#folder)).filter((name) => NAME.test(name)).toSorted();
    } catch {
      return [];
    }
  }
}

/** How many files a log has that is full. */
const SEGMENTS = 8;
const SMALLEST = 4_096;
const DAY = 24 * 3_600_000;
const NAME = /^\d{15}\.ndjson$/;

function nameOf(time: number): string {
  return `${String(time).padStart(15, "0")}.ndjson`;
}

function momentOf(name: string): number {
  return Number(name.slice(0, 15));
}

async function endsWell(file: string, size: number): Promise<boolean> {
  if (size === 0) return true;
  await using handle = await open(file);
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
  return buffer[0] === LINE_FEED;
}

const LINE_FEED = 0x0a;

async function readLines(file: string): Promise<string[]> {
  const lines: string[] = [];
  let begun = "";
  try {
    // `readline` would end a line at U+2028 too, which stands in JSON as it is.
    for await (const chunk of createReadStream(file, "utf8") as AsyncIterable<string>) {
      const [first = "", ...more] = chunk.split("\n");
      begun += first;
      if (more.length === 0) continue;
      lines.push(begun, ...more.slice(0, -1));
      begun = more.at(-1)!;
    }
  } catch {
    // It has just been removed, or its disk is at fault: what was read is what there is.
  }
  return lines;
}
