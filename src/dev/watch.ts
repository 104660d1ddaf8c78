import { watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors and certbot write a file in several steps; changes within this time count as one. */
const SETTLE_MS = 60;

/** Calls `onChange` after one or more of the followed files changed, appeared or disappeared. */
export class FileWatcher implements Disposable {
  readonly #onChange: () => void;
  /** Folders are watched, because most programs replace a file and do not write into it. */
  readonly #watchers = new Map<string, FSWatcher>();
  #names: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** @param files absolute; they replace the files followed so far, and need not exist */
  follow(files: readonly string[]): void {
    this.#names = new Set(files);
    const folders = new Set(files.map((file) => dirname(file)));
    for (const folder of folders) {
      if (!this.#watchers.has(folder)) {
        this.#watchFolder(folder);
      }
    }
    for (const [folder, watcher] of this.#watchers) {
      if (!folders.has(folder)) {
        watcher.close();
        this.#watchers.delete(folder);
      }
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#watchers.values()) {
      watcher.close();
    }
    this.#watchers.clear();
  }

  #watchFolder(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name === null || this.#follows(folder, name)) {
          clearTimeout(this.#timer);
          this.#timer = setTimeout(this.#onChange, SETTLE_MS);
        }
      });
      watcher.on("error", () => watcher.close());
      this.#watchers.set(folder, watcher);
    } catch {
      // The folder is missing; reading the file reports this.
    }
  }

  #follows(folder: string, name: string): boolean {
    return [...this.#names].some((file) => dirname(file) === folder && basename(file) === name);
  }
}
