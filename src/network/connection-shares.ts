import type { Server, Socket } from "node:net";
import { guarded } from "../forward/guarded.ts";
import { neighbourhood, plainAddress } from "./ranges.ts";

export interface ConnectionSharesOptions {
  /** Connections that one address (IPv6: a /64) may have at once. 0: no limit. */
  readonly most: number;
  /** Is this a proxy, which many clients share? */
  readonly isExcepted: (address: string) => boolean;
  /** A connection of this address was closed. */
  readonly onFull?: (address: string) => void;
}

/** The connections of each client address: what is above its share is closed before it is read. */
export class ConnectionShares {
  readonly #options: ConnectionSharesOptions;
  readonly #open: Map<string, number> = new Map();

  constructor(options: ConnectionSharesOptions) {
    this.#options = options;
  }

  /** Counts the connections of this server too. Before it listens. */
  limit(server: Server): void {
    if (this.#options.most === 0) return;
    const accept = server.listeners("connection") as ((socket: Socket) => void)[];
    server.removeAllListeners("connection");
    const serve = (socket: Socket): void => {
      if (this.#mayCome(socket)) for (const listener of accept) listener.call(server, socket);
    };
    server.on("connection", (socket: Socket) => guarded(socket, serve)(socket));
  }

  /** How many addresses are counted now. */
  get addresses(): number {
    return this.#open.size;
  }

  #mayCome(socket: Socket): boolean {
    const { remoteAddress } = socket;
    // It was closed already.
    if (remoteAddress === undefined) return !socket.destroyed;
    const address = plainAddress(remoteAddress);
    if (this.#options.isExcepted(address)) return true;
    const key = neighbourhood(address);
    const open = this.#open.get(key) ?? 0;
    if (open >= this.#options.most) {
      socket.on("error", () => {}).destroy();
      this.#options.onFull?.(address);
      return false;
    }
    this.#open.set(key, open + 1);
    socket.once("close", () => this.#closed(key));
    return true;
  }

  #closed(key: string): void {
    const open = this.#open.get(key)! - 1;
    if (open === 0) this.#open.delete(key);
    else this.#open.set(key, open);
  }
}
