import { chmodSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import net, { isIP } from "node:net";
import { lookup } from "node:dns/promises";
import { setTimeout as delay } from "node:timers/promises";
import { getSystemErrorName } from "node:util";
import { spawnProcess } from "./spawned.ts";

/** A port of this machine, or the path of a Unix socket. */
export type HeldAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/**
 * A listening socket that this process holds and never accepts from: processes that it starts get
 * the descriptor. Connections that arrive while none of them runs wait for the next one.
 *
 * Node has no public way to hold one. A bound handle comes from where `node:cluster` gets its own
 * (`net._createServerHandle`); a process that calls `listen()` in Node accepts as well, so a process that
 * ends at once does that. The socket listens for as long as a process has it.
 */
export class HeldSocket {
  /** `http://127.0.0.1:8080` for a port, the path for a Unix socket. */
  readonly name: string;
  readonly #handle: Handle;
  /** Of a Unix socket: the name that it was made with. */
  readonly #bound: string | null;

  private constructor(name: string, handle: Handle, madeAt: string | null) {
    this.name = name;
    this.#handle = handle;
    this.#bound = madeAt;
  }

  /**
   * Anything that exists at a path stays, except a socket on which no process listens.
   * @throws Error with the system's `code`: `EADDRINUSE`, `EACCES`, …; Failure
   * `process_not_started`
   */
  static async open(address: HeldAddress): Promise<HeldSocket> {
    if ("path" in address) {
      if (!(await isFree(address.path))) throw failed("EADDRINUSE");
      return (await HeldSocket.forPath(address.path)).publish();
    }
    const { handle, host, port } = await boundPort(address);
    const shown = host.includes(":") ? `[${host}]` : host;
    return new HeldSocket(`http://${shown}:${port}`, handle, null).#listening();
  }

  /** Another one for a path, which it takes over by `publish`. */
  static async forPath(path: string): Promise<HeldSocket> {
    // A name of its own: at the end libuv removes the name that a socket was bound to.
    const name = `${path}.${process.pid}.${++lastName}`;
    const held = new HeldSocket(path, boundHandle(name, -1, -1), name);
    // Who may connect is decided by the folder that it is in.
    chmodSync(name, 0o666);
    return held.#listening();
  }

  /**
   * From now on, new clients of the path reach this socket. Earlier connections stay as they are.
   */
  publish(): this {
    if (this.#bound !== null) renameSync(this.#bound, this.name);
    return this;
  }

  /** What a process that is started inherits. */
  get fd(): number {
    return this.#handle.fd;
  }

  /** Its path too, unless another one has taken it over. */
  close({ isReplaced = false }: { readonly isReplaced?: boolean } = {}): void {
    this.#handle.close();
    if (this.#bound !== null && !isReplaced) unlinkIfSocket(this.name);
  }

  async #listening(): Promise<this> {
    const script = 'require("node:net").createServer().listen({ fd: 3 }); process.exit()';
    try {
      const { ended } = await spawnProcess(process.execPath, ["-e", script], {
        stdio: ["ignore", "ignore", "ignore", this.#handle.fd],
        env: {},
      });
      if ((await ended) === "exited with status 0") return this;
      // Bound to a port that another socket listens on: only `listen()` says so.
      throw failed("EADDRINUSE");
    } catch (error) {
      this.close({ isReplaced: true });
      throw error;
    }
  }
}

let lastName = 0;

export interface Handle {
  readonly fd: number;
  getsockname?(into: { port?: number }): number;
  close(): void;
}

export function boundHandle(address: string, port: number, family: number): Handle {
  const made = (
    net as unknown as {
      _createServerHandle(address: string, port: number, family: number): Handle | number;
    }
  )._createServerHandle(address, port, family);
  if (typeof made !== "number") return made;
  throw failed(getSystemErrorName(made));
}

/**
 * @param address port 0: a free one
 * @returns the address and the port that were found, too
 * @throws Error with the system's `code`: `EADDRINUSE`, `EACCES`, `ENOTFOUND`, …
 */
export async function boundPort(address: {
  readonly host: string;
  readonly port: number;
}): Promise<{ readonly handle: Handle; readonly host: string; readonly port: number }> {
  const { address: host, family } = isIP(address.host)
    ? { address: address.host, family: isIP(address.host) }
    : await lookup(address.host);
  const handle = boundHandle(host, address.port, family);
  const own: { port?: number } = {};
  // A port that is taken is told by this, not by binding.
  const error = handle.getsockname?.(own) ?? 0;
  if (error === 0) return { handle, host, port: own.port ?? address.port };
  handle.close();
  throw failed(getSystemErrorName(error));
}

function failed(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`cannot listen: ${code}`), { code });
}

/** ms that processes of a platform that was killed may hold its socket. */
const HELD_ON = 2_000;

/** Nothing is there, or a socket that a process before left behind. */
async function isFree(path: string): Promise<boolean> {
  const patience = AbortSignal.timeout(HELD_ON);
  for (;;) {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined) return true;
    if (!found.isSocket()) return false;
    if (!(await isAnswered(path))) return true;
    if (patience.aborted) return false;
    await delay(50);
  }
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    // Any other error may come from a busy process that listens.
    socket.once("error", ({ code }: NodeJS.ErrnoException) =>
      resolve(code !== "ECONNREFUSED" && code !== "ENOENT"),
    );
    socket.once("connect", () => {
      resolve(true);
      socket.destroy();
    });
  });
}

function unlinkIfSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch {
    // It is gone already.
  }
}
