import type { Server } from "node:http";
import type { Server as NetServer } from "node:net";
import { listenFailure } from "../network/listen-failure.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import type { ConnectionShares } from "../network/connection-shares.ts";
import { acceptProxyProtocol, type PeerOf } from "../network/connection-sources.ts";
import type { StalledReaders } from "../network/stalled-readers.ts";
import { type ProxyOptions, TrustedProxies } from "../network/trusted-proxies.ts";
import type { Answers } from "./answers.ts";
import { closeWhenIdle, createHttpServer } from "./http-server.ts";

/** Where clients speak plain HTTP. */
export class Listener {
  readonly #server: Server;
  #peerOf: PeerOf = ({ socket }) => socket.remoteAddress;

  constructor(answers: Answers) {
    this.#server = createHttpServer(answers, (request) => ({
      peer: this.#peerOf(request),
      tls: null,
    }));
  }

  /**
   * Who may begin a connection with the PROXY protocol, how many anybody may have, and how long one may take
   * nothing. Before it listens.
   */
  accept(options: ProxyOptions, shares: ConnectionShares, readers: StalledReaders): void {
    if (options.trusted.length > 0)
      this.#peerOf = acceptProxyProtocol(this.#server, new TrustedProxies(options));
    shares.limit(this.#server);
    this.#server.on("connection", (socket) => readers.connection(socket));
  }

  listen(at: ListenAt): Promise<void> {
    return listenAt(this.#server, "the ingress", at);
  }

  /** Accepts nothing new; resolves when the last request has ended. */
  drain(): Promise<void> {
    return closeWhenIdle(this.#server);
  }
}

/** An address, and the socket of the supervisor's that is bound to it. */
export interface ListenAt {
  readonly host: string;
  readonly port: number;
  readonly socket: PassedHandle;
}

/** @throws Failure `port_in_use` … */
export function listenAt(
  server: NetServer,
  what: string,
  { host, port, socket }: ListenAt,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const failed = (cause: Error): void => reject(listenFailure(what, { host, port }, cause));
    server.once("error", failed);
    server.listen(socket.handle, () => {
      server.off("error", failed);
      // Of accepting, as when there are no files left: the next connection may be accepted.
      server.on("error", () => {});
      resolve();
    });
  });
}
