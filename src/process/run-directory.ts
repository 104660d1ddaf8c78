import { chmod, chown, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { OfferedSockets } from "./offered-sockets.ts";
import { endHalfStarted, ProcessRecords } from "./orphans.ts";
import type { ProcessUser } from "./walls/process-users.ts";

/**
 * The folder in which one edge keeps its sockets and the modules it runs. It is the working
 * directory of every process of the edge: a socket's path is limited to 108 bytes, so each is
 * given relative to it, and the folder itself may be called anything.
 */
export class RunDirectory {
  readonly path: string;
  readonly processes: ProcessRecords;
  /** Null: no process of another user needs any. */
  offered: OfferedSockets | null = null;

  private constructor(path: string) {
    this.path = path;
    this.processes = new ProcessRecords(join(path, "pids"));
  }

  /** Ends what a previous run left running, and empties the folder. It must be this edge's alone. */
  static async open(path: string): Promise<RunDirectory> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    // The folder may have existed before. A program that reaches a socket in it may use what is
    // behind the socket.
    await chmod(path, 0o700);
    const directory = new RunDirectory(path);
    await directory.processes.endOrphans();
    await endHalfStarted(path);
    await directory.#empty();
    for (const folder of ["g", "l", "o", "s", "w", "pids"]) {
      await mkdir(join(path, folder), { mode: 0o700 });
    }
    return directory;
  }

  /**
   * Has a process with a user of its own reach sockets: those that are offered to it, and the ones that
   * the gateway makes for it in the folder `o`.
   */
  async offerTo({ id }: ProcessUser): Promise<void> {
    this.offered = await OfferedSockets.open(this.path, id);
    // What is made in there is its group's.
    await chown(this.absolute("o"), 0, id);
    await chmod(this.absolute("o"), 0o2700);
  }

  /** The path of something in the folder, for this process, whose working directory is another. */
  absolute(relative: string): string {
    return join(this.path, relative);
  }

  async close(): Promise<void> {
    await this.#empty();
  }

  async #empty(): Promise<void> {
    const entries = await readdir(this.path);
    await Promise.all(
      entries.map((entry) => rm(join(this.path, entry), { recursive: true, force: true })),
    );
  }
}
