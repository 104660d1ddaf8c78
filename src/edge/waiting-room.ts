import { once } from "node:events";
import { chmod, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { basename, dirname } from "node:path";
import { connectInside, listenInside } from "../process/folder-socket.ts";
import type { RunDirectory } from "../process/run-directory.ts";
import type { LinkTarget } from "./config/service-links.ts";

/**
 * Where other Workers find a script while its objects are handed over: what they send waits, and
 * goes to the new process once that listens. Connections that were made here stay as they are.
 */
export class WaitingRoom implements LinkTarget {
  readonly socket: string;
  readonly entrypoints: ReadonlyMap<string, string>;
  readonly #run: RunDirectory;
  readonly #servers: Server[] = [];

  private constructor(run: RunDirectory, { socket, entrypoints }: LinkTarget) {
    this.#run = run;
    this.socket = placeOf(socket);
    this.entrypoints = new Map([...entrypoints].map(([door, path]) => [door, placeOf(path)]));
  }

  /** @param ready resolves when the target listens, or was not able to */
  static async open(
    run: RunDirectory,
    target: LinkTarget,
    ready: Promise<void>,
  ): Promise<WaitingRoom> {
    const room = new WaitingRoom(run, target);
    for (const path of [target.socket, ...target.entrypoints.values()]) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
      server.maxConnections = MOST_WAITING;
      server.on("connection", (socket) => {
        socket.on("error", () => socket.destroy());
        void ready.then(() => join(socket, run.absolute(path)));
      });
      await listenInside(server, run.absolute(FOLDER), basename(placeOf(path)));
      // Links to it are in folders that decide who may connect.
      await chmod(run.absolute(placeOf(path)), 0o666);
      room.#servers.push(server.unref());
    }
    return room;
  }

  /** Nobody is led here any more; who was just before is still let in. */
  async close(): Promise<void> {
    await delay(LATE, undefined, { ref: false });
    for (const server of this.#servers) server.close();
    for (const path of [this.socket, ...this.entrypoints.values()]) {
      await rm(this.#run.absolute(path), { force: true });
    }
  }
}

async function join(waiting: Socket, path: string): Promise<void> {
  if (waiting.destroyed) return;
  const to = connectInside(dirname(path), basename(path));
  for (const [one, other] of [
    [waiting, to],
    [to, waiting],
  ] as const) {
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
  }
  await once(to, "connect").catch(() => to.destroy());
  if (to.destroyed || waiting.destroyed) return;
  to.allowHalfOpen = true;
  waiting.pipe(to);
  to.pipe(waiting);
}

/** `g/7/main` waits at `w/g-7-main`. */
function placeOf(socket: string): string {
  return `${FOLDER}/${socket.replaceAll("/", "-")}`;
}

const FOLDER = "w";
/** ms */
const LATE = 500;
/** Connections at a socket. */
const MOST_WAITING = 1_024;
