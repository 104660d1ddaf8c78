import { unwatchFile, watchFile, type Stats } from "node:fs";

/** Editors and certbot write a file in several steps; changes within this time count as one. */
const SETTLE_MS = 60;

const INTERVAL_MS = 200;

/**
 * Calls `onChange` after one or more of the followed files changed, appeared or disappeared. It looks
 * at the files: the system tells of nothing where a folder is made anew, or a link on the way to the
 * file is swapped, as Kubernetes does.
 */
export class FileWatcher implements Disposable {
  readonly #onChange: () => void;
  #files: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** @param files absolute; they replace the files followed so far, and need not exist */
  follow(files: readonly string[]): void {
    const before = this.#files;
    this.#files = new Set(files);
    for (const file of this.#files) {
      if (before.has(file)) continue;
      watchFile(file, { persistent: false, interval: INTERVAL_MS }, this.#changed);
    }
    for (const file of before) {
      if (!this.#files.has(file)) unwatchFile(file, this.#changed);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.follow([]);
  }

  readonly #changed = (now: Stats, before: Stats): void => {
    // Node tells at once of a file that is not there.
    if (now.ino === 0 && before.ino === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#onChange, SETTLE_MS);
  };
}
