import { setTimeout as wait } from "node:timers/promises";
import { Failure } from "../failures/failures.ts";
import { listFolder, readPair, wipe, type PairContent, type PairNames } from "./pair-files.ts";
import type { JudgedLeaf, KeyIntake } from "./key-intake.ts";
import { intakeHere } from "./upload-text.ts";

export interface FolderSourceOptions {
  readonly folder: string;
  /** Default: found by name, see `readPair`. */
  readonly names?: PairNames;
  /** The content hash of the version that is stored, which is not taken again. Default: none. */
  readonly known?: string;
  /** The account's CAs, PEM. Default: none. */
  readonly authorities?: readonly string[];
  readonly now: () => Date;
  /**
   * Takes a new version. The version counts as taken when this resolves. If it rejects, the next
   * look tries again.
   */
  readonly onVersion: (version: JudgedLeaf) => Promise<void>;
  /** The process that may see keys. Default: this one. */
  readonly intake?: KeyIntake;
  /** Called once for each faulty state of the folder that lasts longer than `patience`. */
  readonly onFailure: (error: unknown) => void;
  /** Milliseconds that writers may leave the pair in disorder. Default: 10,000. */
  readonly patience?: number;
  /** Milliseconds between two looks, at least 10. Default: 1,000. */
  readonly interval?: number;
}

/**
 * Follows a folder that another program renews. It looks at the files rather than wait for the
 * system to tell: that misses no symbolic link, works on every file system, and costs two reads of
 * a few KiB.
 * @throws Failure `folder_unreadable` if there is no such folder at the start; it may be empty still
 */
export async function watchFolder(options: FolderSourceOptions): Promise<AsyncDisposable> {
  const source = new FolderSource(options);
  await listFolder(options.folder);
  const stop = new AbortController();
  const running = follow(source, Math.max(options.interval ?? 1000, 10), stop.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}

async function follow(source: FolderSource, interval: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await source.look();
    await wait(interval, undefined, { signal }).catch(() => {});
  }
}

/** What was seen at the last look. Takes a pair once it stays the same and certificate and key match. */
export class FolderSource {
  readonly #options: FolderSourceOptions;
  #known: string | undefined;
  #state = "";
  #since = 0;
  #settled = false;
  #told = false;

  constructor(options: FolderSourceOptions) {
    this.#options = options;
    this.#known = options.known;
  }

  /** Never rejects: what is wrong goes to `onFailure`, and what was taken before stays. */
  async look(): Promise<void> {
    const { folder, names, onFailure } = this.#options;
    const content = await readPair(folder, names).catch((failure: Failure) => failure);
    const state = content instanceof Failure ? content.message : content.hash;
    try {
      if (this.#isNew(state) || this.#settled) return;
      if (content instanceof Failure) throw content;
      await this.#take(content);
    } catch (error) {
      if (this.#told || this.#age() < this.#patience) return;
      this.#told = true;
      onFailure(error);
    } finally {
      if (!(content instanceof Failure)) wipe(content);
    }
  }

  async #take(content: PairContent): Promise<void> {
    const { now, authorities, onVersion, intake = intakeHere } = this.#options;
    using upload = await intake.receivePair(content);
    const terms = { ca: false, now: now(), ...(authorities && { authorities }) };
    const version = await upload.judge(terms);
    if (version.kind !== "leaf") return;
    // A chain that is cut off between two certificates is well-formed: it may still be written.
    const incomplete = version.warnings.some(({ code }) => code === "chain_incomplete");
    if (incomplete && this.#age() < this.#patience) return;
    if (version.facts.contentHash !== this.#known) await onVersion(version);
    this.#known = version.facts.contentHash;
    this.#settled = true;
  }

  /** A state is judged at the second look that finds it: a writer may be in the middle of it. */
  #isNew(state: string): boolean {
    if (state === this.#state) return false;
    this.#state = state;
    this.#since = this.#options.now().getTime();
    this.#settled = false;
    this.#told = false;
    return true;
  }

  #age(): number {
    const now = this.#options.now().getTime();
    // A clock that was set back would make the patience as much longer.
    if (now < this.#since) this.#since = now;
    return now - this.#since;
  }

  get #patience(): number {
    return this.#options.patience ?? 10_000;
  }
}
