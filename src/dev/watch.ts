import { watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";

/** Editors and certbot write a file in several steps: what comes within this time is one change. */
const SETTLE_MS = 60;

/** Calls `onChange` after one or more of the files it follows changed, appeared or went. */
export class FileWatcher implements Disposable {
  readonly #onChange: () => void;
  /** By folder, since most programs replace a file rather than write into it. */
  readonly #watchers = new Map<string, FSWatcher>();
  #names: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** @param files absolute; they replace those followed before, and need not exist */
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
      // The folder is missing. Reading the file reports this.
    }
  }

  #follows(folder: string, name: string): boolean {
    return [...this.#names].some((file) => dirname(file) === folder && basename(file) === name);
  }
}
