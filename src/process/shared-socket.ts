import { chmodSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inside } from "./folder-socket.ts";
import { boundHandle, type Handle } from "./held-socket.ts";
import { PassedHandle } from "./passed-handle.ts";

/**
 * A Unix socket for several processes to accept from, whichever is free. This process only holds it:
 * it listens as soon as one of them does, and what connects while none runs waits for the next one.
 */
export class SharedSocket {
  readonly passed: PassedHandle;
  readonly #folder: string;
  readonly #path: string;
  readonly #handle: Handle;

  /**
   * What stands at the path is replaced.
   * @param name relative to `folder`: the whole path may be longer than that of a socket can be
   * @param mode who may connect that gets to it. Default: this user and the folder's group
   * @throws Error with the system's `code`
   */
  constructor(folder: string, name: string, mode = 0o660) {
    this.#folder = folder;
    this.#path = join(folder, name);
    // A name of its own: another one may stand at the path when this one is closed, and its name removed.
    const made = `${name}.${++lastName}`;
    this.#handle = inside(folder, () => boundHandle(made, -1, -1));
    this.passed = new PassedHandle(this.#handle);
    // Before it listens nobody gets in.
    chmodSync(join(folder, made), mode);
    renameSync(join(folder, made), this.#path);
  }

  /** Nobody finds it any more. */
  unlink(): void {
    rmSync(this.#path, { force: true });
  }

  close(): void {
    // libuv removes the name that it was bound to, as it was written.
    inside(this.#folder, () => this.#handle.close());
  }
}

let lastName = 0;
