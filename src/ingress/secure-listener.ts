import type { Server as HttpServer } from "node:http";
import {
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import {
  createServer as createTlsServer,
  type SecureContext,
  type Server,
  type TlsOptions,
  type TLSSocket,
} from "node:tls";
import type { ServedCertificate } from "../contract/hosts.ts";
import { guarded } from "../forward/guarded.ts";
import { HEADER_BUFFER } from "../forward/limits.ts";
import type { ConnectionShares } from "../network/connection-shares.ts";
import { acceptProxyProtocol, type PeerOf } from "../network/connection-sources.ts";
import { SessionOverhead } from "../network/http-overhead.ts";
import { StalledReaders } from "../network/stalled-readers.ts";
import { TlsFloods } from "../network/tls-floods.ts";
import { type ProxyOptions, TrustedProxies } from "../network/trusted-proxies.ts";
import type { Answers } from "./answers.ts";
import type { Challenges } from "./challenges.ts";
import { ClientHandshakes } from "./tls/client-handshakes.ts";
import type { Clients } from "./clients.ts";
import { type Hosts, plainName } from "./tls/hosts.ts";
import { Http2Request } from "./http2-request.ts";
import { Http2Response } from "./http2-response.ts";
import { closeWhenIdle, createHttpServer, type HeadTimes } from "./http-server.ts";
import { type ListenAt, listenAt } from "./listener.ts";
import { NarrowTls } from "./tls/narrow-tls.ts";
import type { LocalLeaves } from "./tls/local-leaves.ts";
import { Proofs } from "./tls/proofs.ts";
import { endFailedHandshakes, TLS_OPTIONS } from "./tls/tls-options.ts";
import type { Zones } from "./zones.ts";

export interface SecureListenerOptions {
  readonly answers: Answers;
  readonly hosts: Hosts;
  readonly zones: Zones;
  readonly clients: Clients;
  readonly challenges: Challenges;
  readonly leaves: LocalLeaves;
  /** What is presented where a host has no certificate of its own. */
  readonly byDefault: ServedCertificate;
  readonly times?: ConnectionTimes;
}

export interface ConnectionTimes {
  /** ms that a client has for its handshake */
  readonly handshake: number;
  /** ms without a byte after which a session of HTTP/2 takes no more requests */
  readonly idle: number;
  /** Of HTTP/1.1. Default: as in plain HTTP. */
  readonly head?: HeadTimes;
}

const TIMES: ConnectionTimes = { handshake: 10_000, idle: 60_000 };

/** Where clients speak HTTP/2 or HTTP/1.1 over TLS. */
export class SecureListener {
  readonly #answers: Answers;
  readonly #hosts: Hosts;
  readonly #tls: Server;
  readonly #narrow: NarrowTls;
  readonly #http1: HttpServer;
  readonly #http2: Http2Server;
  readonly #sessions = new Map<Http2Session, Session>();
  readonly #clients: Clients;
  #byDefault: ServedCertificate;
  readonly #idle: number;
  readonly #floods = new TlsFloods();
  #readers = new StalledReaders(0);
  #peerOf: PeerOf = ({ socket }) => socket.remoteAddress;
  /** The one whose handshake has just ended: its HTTP/2 session is made in the same turn. */
  #handedOver: TLSSocket | null = null;

  constructor(options: SecureListenerOptions) {
    const {
      answers,
      hosts,
      zones,
      clients,
      challenges,
      leaves,
      byDefault,
      times = TIMES,
    } = options;
    this.#idle = times.idle;
    this.#answers = answers;
    this.#hosts = hosts;
    this.#clients = clients;
    this.#byDefault = byDefault;
    this.#http1 = createHttpServer(
      answers,
      (request) => ({
        peer: this.#peerOf(request),
        tls: request.socket as TLSSocket,
      }),
      times.head,
    );
    // It does not listen, and only from this event on Node knows which connections are late, or idle.
    this.#http1.emit("listening");
    this.#http2 = createHttp2Server(HTTP2_OPTIONS)
      .on("session", (session) => guarded(session, () => this.#began(session))())
      .on("stream", (stream, _headers, _flags, raw) => {
        guarded(stream, () =>
          this.#serve(stream as ServerHttp2Stream, raw as unknown as readonly string[]),
        )();
      });
    const present = (
      name: string,
    ): SecureContext | Promise<SecureContext | undefined> | undefined =>
      this.#hosts.find(name)?.context ?? leaves.find(name)?.then((leaf) => leaf?.context);
    const tls = {
      ...TLS_OPTIONS,
      ALPNProtocols: ["h2", "http/1.1"],
      handshakeTimeout: times.handshake,
    };
    const named: TlsOptions = {
      ...tls,
      SNICallback: (name, settle) => {
        try {
          const context = present(plainName(name));
          if (context instanceof Promise) void context.then((local) => settle(null, local));
          else settle(null, context);
        } catch (error) {
          settle(error as Error);
        }
      },
    };
    this.#tls = createTlsServer({ ...named, cert: byDefault.chain, key: byDefault.key });
    this.#narrow = new NarrowTls({
      tls: named,
      byDefault: () => this.#byDefault,
      done: (socket) => this.#handOver(socket),
    });
    this.#tls.on("secureConnection", (socket) => guarded(socket, () => this.#handOver(socket))());
    endFailedHandshakes(this.#tls);
    new ClientHandshakes({
      hosts,
      zones,
      narrow: (versions) => this.#narrow.serverFor(versions),
      tls,
      leaves,
      proofs: new Proofs(challenges, tls),
      byDefault: () => this.#byDefault,
      done: (socket, entry) => {
        this.#clients.began(socket, entry);
        this.#handOver(socket);
      },
    }).divert(this.#tls);
  }

  /** Swaps the default certificate. Connections that are open stay open. */
  presentByDefault(certificate: ServedCertificate): void {
    const { chain, key } = certificate;
    this.#byDefault = certificate;
    this.#tls.setSecureContext({ ...TLS_OPTIONS, cert: chain, key });
    this.#narrow.presentByDefault(certificate);
  }

  /** As of `Listener`. */
  accept(options: ProxyOptions, shares: ConnectionShares, readers: StalledReaders): void {
    this.#readers = readers;
    if (options.trusted.length > 0)
      this.#peerOf = acceptProxyProtocol(this.#tls, new TrustedProxies(options));
    shares.limit(this.#tls);
  }

  listen(at: ListenAt): Promise<void> {
    return listenAt(this.#tls, "the ingress over TLS", at);
  }

  /** Accepts nothing new; resolves when the last request has ended. */
  async drain(): Promise<void> {
    for (const session of this.#sessions.keys()) session.close();
    await closeWhenIdle(this.#http1, this.#tls);
  }

  #handOver(socket: TLSSocket): void {
    socket.on("error", () => socket.destroy());
    this.#floods.watch(socket);
    this.#readers.connection(socket);
    const isHttp2 = socket.alpnProtocol === "h2";
    this.#handedOver = socket;
    (isHttp2 ? this.#http2 : this.#http1).emit("connection", socket);
    this.#handedOver = null;
  }

  #began(session: ServerHttp2Session): void {
    const tls = this.#handedOver!;
    const overhead = new SessionOverhead(session, tls, () => tls.destroy());
    this.#sessions.set(session, { tls, overhead });
    session.on("error", () => {}).once("close", () => this.#sessions.delete(session));
    session.setLocalWindowSize(SESSION_WINDOW);
    // Open requests continue, no new ones begin, and the connection closes after the last.
    session.setTimeout(this.#idle, () => session.close());
  }

  #serve(stream: ServerHttp2Stream, raw: readonly string[]): void {
    const session = stream.session && this.#sessions.get(stream.session);
    if (!session) return void stream.destroy();
    const { tls, overhead } = session;
    overhead.followUpload(stream);
    this.#readers.stream(stream, () => {
      stream.close(constants.NGHTTP2_CANCEL);
      // What waits for the connection does not keep the rest.
      stream.destroy();
    });
    const request = new Http2Request(stream, raw, tls);
    const response = new Http2Response(stream, request);
    const message = request.asMessage();
    const arrival = { peer: this.#peerOf(message), tls };
    if (request.isWebSocket) this.#answers.tunnel(message, response.asResponse(), stream, arrival);
    else this.#answers.answer(message, response.asResponse(), arrival);
  }
}

interface Session {
  readonly tls: TLSSocket;
  readonly overhead: SessionOverhead;
}

/** Bytes that all uploads of one connection may have under way. */
const SESSION_WINDOW = 1_048_576;

const HTTP2_OPTIONS = {
  maxSessionMemory: 10,
  maxHeaderListPairs: 4_096,
  // Requests that a client takes back: as many at once as two rounds of all its streams.
  streamResetBurst: 256,
  streamResetRate: 33,
  // A Worker's response goes out as it is; what a client sends is checked all the same.
  strictSingleValueFields: false,
  settings: {
    enableConnectProtocol: true,
    maxConcurrentStreams: 128,
    maxHeaderListSize: HEADER_BUFFER,
    initialWindowSize: 262_144,
  },
};
