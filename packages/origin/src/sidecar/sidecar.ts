import { once } from "node:events";
import { IncomingMessage } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Server, TLSSocket } from "node:tls";
import { Authorizer, type DecisionCount, type DecisionMade } from "../authorizer.ts";
import { followTrust, secureServerOptions } from "../tls.ts";
import type { Trust } from "../trust.ts";
import { type Answer, createHttpServer } from "./http.ts";
import { Live } from "./live.ts";
import { createTcpServer } from "./tcp.ts";

export interface SidecarOptions {
  /** Port 0 takes a free port. */
  readonly listen: { readonly host: string; readonly port: number };
  /** The service behind: it speaks HTTP/1.1 (`http`), or any protocol (`tcp`). */
  readonly to: Destination;
  readonly pair: KeyPair;
  /** CAs, revocations and the policy; its current state counts at each request. */
  readonly trust: Trust;
  /**
   * Called with refusals, once for each caller and code, and with connections that were cut. Default: `console.warn`.
   */
  readonly log?: (message: string) => void;
  readonly onDecision?: (decision: DecisionMade) => void;
  /** Connections at once, 1 to 1,000,000; more are closed at once. Default: 10,000. */
  readonly maxConnections?: number;
  /** How long a handshake may take, ms. Default: 10,000. */
  readonly handshakeTimeout?: number;
  /** How long requests in flight may take after closing, ms. Default: 10,000. */
  readonly drain?: number;
  /** ms since 1970. Default: `Date.now`. */
  readonly clock?: () => number;
  /** The class of requests over HTTP, as `http.createServer` takes it. Default: Node's. */
  readonly incoming?: typeof IncomingMessage;
  /** What answers each request over HTTP: may bound what a connection asks for. Default: as it is. */
  readonly bounded?: (answer: Answer) => Answer;
  /** Called with each connection whose handshake is over. */
  readonly secured?: (socket: TLSSocket) => void;
}

export interface Destination {
  readonly protocol: "http" | "tcp";
  readonly host: string;
  readonly port: number;
}

export interface KeyPair {
  /** The chain, PEM. */
  readonly cert: string;
  readonly key: string;
}

/** What HTTP and TCP servers share. */
export interface Shared {
  readonly to: Destination;
  readonly trust: Trust;
  readonly authorizer: Authorizer;
  readonly live: Live;
  readonly log: (message: string) => void;
  readonly clock: () => number;
  isClosing(): boolean;
}

export interface Sidecar extends AsyncDisposable {
  /** `https://127.0.0.1:8443`, or `tls://…` for a raw service. */
  readonly url: string;
  /**
   * Uses this pair from the next handshake on. @throws if key and certificate do not match; the old pair stays in use
   */
  renew(pair: KeyPair): void;
  decisions(): DecisionCount[];
  /** Accepts no more connections, lets requests in flight end, then cuts the rest. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Puts TLS, the caller's proof and the policy in front of a service that has none of them.
 * @throws what node:net throws if it cannot listen, and node:tls if the pair is not valid
 */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const { listen, to, trust, log = (message) => console.warn(message), onDecision } = options;
  const { clock = Date.now, maxConnections = 10_000, drain = 10_000 } = options;
  const { handshakeTimeout = 10_000, incoming = IncomingMessage } = options;
  const live = new Live(trust, clock);
  const authorizer = new Authorizer(trust, { log, ...(onDecision && { onDecision }) });
  let isClosing = false;
  const shared: Shared = { to, trust, authorizer, live, log, clock, isClosing: () => isClosing };
  const pair = { ...options.pair };
  const tls = { ...pair, ...secureServerOptions(trust), handshakeTimeout };
  const { server, stopIdle } =
    to.protocol === "tcp"
      ? { server: createTcpServer(tls, shared), stopIdle: () => {} }
      : createHttpServer({ ...tls, IncomingMessage: incoming }, shared, options.bounded);
  server.maxConnections = maxConnections;
  if (options.secured !== undefined) server.on("secureConnection", options.secured);
  const sockets = socketsOf(server);
  const unfollow = followTrust(server, trust, pair);
  const close = (): void => {
    unfollow();
    live[Symbol.dispose]();
  };
  try {
    server.listen(listen.port, listen.host);
    await once(server, "listening");
  } catch (error) {
    close();
    throw error;
  }
  const { address, family, port } = server.address() as AddressInfo;
  const host = family === "IPv6" ? `[${address}]` : address;
  return {
    url: `${to.protocol === "tcp" ? "tls" : "https"}://${host}:${port}`,
    decisions: () => authorizer.decisions(),
    renew(renewed) {
      server.setSecureContext({ ...renewed, ...secureServerOptions(trust) });
      Object.assign(pair, renewed);
    },
    async [Symbol.asyncDispose]() {
      isClosing = true;
      const closed = once(server, "close");
      server.close();
      stopIdle();
      const timer = setTimeout(() => {
        live.cutAll();
        for (const socket of sockets) socket.destroy();
      }, drain);
      await closed;
      clearTimeout(timer);
      close();
    },
  };
}

function socketsOf(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return sockets;
}
