import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { ScriptKey } from "../contract/change-feed.ts";
import type { Journal, JournalQuery, KeptEntry } from "../contract/journal.ts";
import { keyIn } from "../contract/key-in.ts";
import type { LogEntry, WorkerEvent } from "../contract/worker-log.ts";
import { Segments, type SegmentLimits } from "./segments.ts";

export interface JournalOptions {
  /** Made with the first entry. */
  readonly folder: string;
  /** Of each Worker's log. */
  readonly limits: SegmentLimits;
  /** How long entries wait for others that are written with them, in ms. Default: 100. */
  readonly delay?: number;
  readonly log: Logger;
}

/** Keeps the logs of Workers on disk, each within its own bounds, and shows them as they come. */
export class FileJournal implements Journal, AsyncDisposable {
  readonly #options: JournalOptions;
  readonly #logs = new Map<string, WorkerFile>();
  readonly #listeners = new Map<string, Set<(entry: LogEntry) => void>>();
  readonly #sweep: NodeJS.Timeout;
  /** Until when every entry of a Worker is kept, by `performance.now()`. */
  readonly #keepsAll = new Map<string, number>();
  #hasFailed = false;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => void this.prune(), SWEEP).unref();
  }

  /** Never throws, and holds nobody up. */
  record({ entry, isKept, ...key }: WorkerEvent): void {
    const id = keyIn(key.accountId, key.scriptName);
    for (const heard of this.#listeners.get(id) ?? []) heard(entry);
    if (!isKept && (this.#keepsAll.get(id) ?? 0) < performance.now()) return;
    const log = this.#log(key);
    if (log === null) return;
    const line = `${JSON.stringify(entry).slice(1)}\n`;
    if (log.bytes + line.length > MOST_WAITING) return;
    log.waiting.push(line);
    log.bytes += line.length;
    log.writing ??= this.#writeSoon(log);
  }

  async read(key: ScriptKey, query: JournalQuery): Promise<readonly KeptEntry[]> {
    const log = this.#log(key);
    if (log === null) return [];
    await log.writing;
    const { ray } = query;
    // What its client got may be a failure that the gateway has under a ray of its own.
    const rays = ray === undefined ? null : new Set([ray]);
    const found: KeptEntry[] = [];
    for await (const lines of log.segments.newestFirst(query.since)) {
      const ofFile = select(lines, rays, query);
      found.push(...ofFile.slice(0, query.limit - found.length));
      if (found.length >= query.limit) break;
    }
    return found.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  }

  listen(key: ScriptKey, heard: (entry: LogEntry) => void): () => void {
    const id = keyIn(key.accountId, key.scriptName);
    const all = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, all.add(heard));
    return () => {
      all.delete(heard);
      if (all.size === 0 && this.#listeners.get(id) === all) this.#listeners.delete(id);
    };
  }

  keepAll({ accountId, scriptName }: ScriptKey, ms: number): void {
    this.#keepsAll.set(keyIn(accountId, scriptName), performance.now() + ms);
  }

  async remove(key: ScriptKey): Promise<void> {
    const log = this.#log(key);
    if (log === null) return;
    await log.writing;
    await log.segments.remove();
    this.#logs.delete(keyIn(key.accountId, key.scriptName));
    this.#keepsAll.delete(keyIn(key.accountId, key.scriptName));
  }

  /** Lets go of what is too old, of Workers too that say nothing any more. */
  async prune(): Promise<void> {
    for (const accountId of await names(this.#options.folder)) {
      for (const scriptName of await names(join(this.#options.folder, accountId))) {
        const log = this.#log({ accountId, scriptName });
        if (log === null || log.writing !== null) continue;
        const isLeft = await log.segments.prune().catch(() => true);
        if (!isLeft) await this.remove({ accountId, scriptName }).catch(() => {});
      }
    }
  }

  /** Writes what it holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweep);
    for (const log of this.#logs.values()) while (log.writing !== null) await log.writing;
  }

  /** Null: such a name is no file's. */
  #log(key: ScriptKey): WorkerFile | null {
    const { accountId, scriptName } = key;
    const id = keyIn(accountId, scriptName);
    const known = this.#logs.get(id);
    if (known !== undefined) return known;
    if (![accountId, scriptName].every((name) => SAFE.test(name))) return null;
    const folder = join(this.#options.folder, accountId, scriptName);
    const segments = new Segments(folder, this.#options.limits);
    const log: WorkerFile = { segments, waiting: [], bytes: 0, writing: null, lastId: null };
    this.#logs.set(id, log);
    return log;
  }

  /** Entries of a moment go out in one write. */
  async #writeSoon(log: WorkerFile): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, this.#options.delay ?? DELAY));
    log.lastId ??= await lastIdIn(log.segments);
    const lines = log.waiting.splice(0).map((line) => `{"id":"${nextId(log)}",${line}`);
    log.bytes = 0;
    try {
      await log.segments.append(lines.join(""));
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed) {
        this.#options.log.error({ err: error }, "logs of Workers cannot be written to the disk");
      }
      this.#hasFailed = true;
    }
    log.writing = log.waiting.length > 0 ? this.#writeSoon(log) : null;
  }
}

interface WorkerFile {
  readonly segments: Segments;
  /** Without their ids, which are given when they are written. */
  readonly waiting: string[];
  bytes: number;
  writing: Promise<void> | null;
  /** Null: it was not read yet. */
  lastId: number | null;
}

/** Greater than those before it, whatever the clock says: readers go on after the last one that they have. */
function nextId(log: WorkerFile): number {
  log.lastId = Math.max((log.lastId ?? 0) + 1, Date.now() * 1000);
  return log.lastId;
}

/** Of what an earlier platform wrote, whose clock may have been ahead. 0: there is nothing. */
async function lastIdIn(segments: Segments): Promise<number> {
  for await (const lines of segments.newestFirst()) {
    // They were given in order. A file may have megabytes, and the API waits while it is parsed.
    for (const line of lines.toReversed()) {
      const id = Number(parse(line)?.id);
      if (Number.isSafeInteger(id)) return id;
    }
  }
  return 0;
}

/** Newest first. @param rays grows by those that its entries name */
function select(
  lines: readonly string[],
  rays: Set<string> | null,
  query: JournalQuery,
): KeptEntry[] {
  const known = rays?.size;
  const selected: KeptEntry[] = [];
  for (const line of lines.toReversed()) {
    if (rays !== null && ![...rays].some((one) => line.includes(one))) continue;
    const entry = parse(line);
    if (entry === null || !matches(entry, query)) continue;
    if (rays !== null && (entry.ray === null || !rays.has(entry.ray))) continue;
    if (entry.gatewayRay !== undefined) rays?.add(entry.gatewayRay);
    selected.push(entry);
    if (selected.length >= query.limit) break;
  }
  // The entry that it names may stand on either side of it.
  return rays?.size === known ? selected : select(lines, rays, query);
}

function matches(entry: KeptEntry, { since, until, after }: JournalQuery): boolean {
  if (after !== undefined && entry.id <= after) return false;
  if (since !== undefined && entry.eventTimestamp < since) return false;
  return until === undefined || entry.eventTimestamp <= until;
}

/** A line that a crash has cut is left out. */
function parse(line: string): KeptEntry | null {
  try {
    const entry = JSON.parse(line) as KeptEntry | null;
    return typeof entry?.id === "string" ? entry : null;
  } catch {
    return null;
  }
}

async function names(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

/** ms that entries wait for others */
const DELAY = 100;
const SWEEP = 10 * 60_000;
/** Characters that wait for a disk that is slow: beyond it, entries are left out. */
const MOST_WAITING = 4 * 1024 * 1024;
const SAFE = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,254}$/;
