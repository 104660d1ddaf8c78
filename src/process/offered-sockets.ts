import { chmod, chown, mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { linkOver } from "./folder-socket.ts";

/**
 * Gives a process with a user of its own access to some sockets of the run directory. A folder in
 * the run directory has hard links to them, at the same relative paths, and is the process's
 * working directory. The process can pass through its folders but not list them, and it cannot
 * reach anything else in the run directory.
 */
export class OfferedSockets {
  readonly folder: string;
  readonly #run: string;
  readonly #group: number;
  #count = 0;

  private constructor(run: string, group: number) {
    this.#run = run;
    this.folder = join(run, "i");
    this.#group = group;
  }

  /** @param group the process's own */
  static async open(run: string, group: number): Promise<OfferedSockets> {
    const offered = new OfferedSockets(run, group);
    await offered.#make(offered.folder);
    return offered;
  }

  /** @param socket relative to the run directory; the one that was offered there before is replaced */
  async offer(socket: string): Promise<void> {
    const at = join(this.folder, socket);
    const fresh = `${at}.${++this.#count}`;
    await this.#makeBelow(dirname(socket));
    // One that has gone meanwhile is offered no more.
    await linkOver(join(this.#run, socket), at, fresh);
  }

  /** A socket, or a folder with all that are in it. */
  async withdraw(relative: string): Promise<void> {
    await rm(join(this.folder, relative), { recursive: true, force: true });
  }

  async #makeBelow(relative: string): Promise<void> {
    const names = relative.split("/").filter((name) => name !== ".");
    for (let depth = 1; depth <= names.length; depth++) {
      await this.#make(join(this.folder, ...names.slice(0, depth)));
    }
  }

  async #make(folder: string): Promise<void> {
    const made = await mkdir(folder, { recursive: true, mode: 0o700 });
    if (made === undefined) return;
    await chown(folder, 0, this.#group);
    await chmod(folder, 0o710);
  }
}
