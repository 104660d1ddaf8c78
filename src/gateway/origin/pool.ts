import { Patience, type Via } from "../../forward/patience.ts";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { buildConnector, Dispatcher } from "undici";
import { Pool } from "../../forward/undici.ts";
import { Failure } from "../../failures/failures.ts";
import type { Credential } from "../../certificates/credential.ts";
import type { Clock } from "../clock.ts";
import { exchangeFailure, type Ending } from "./classify.ts";
import { ConnectionErrors, connectionOfError } from "./connection-errors.ts";
import type { Destination } from "./destination.ts";
import type { GatewayOptions } from "../../contract/gateway-options.ts";
import { OriginClient } from "./client.ts";
import { handOver, needsHttp1, wasNotProcessed } from "./connection-rules.ts";
import { asError } from "../../forward/guarded.ts";
import type { Attempt } from "../../forward/forward.ts";
import { MOST_HEADERS } from "../../forward/limits.ts";
import { ReadyConnections } from "./ready.ts";
import { Sessions } from "./sessions.ts";
import type { TrustBundle } from "./trust.ts";

/** The owner of a connection. A connection is never used for another owner. */
export interface PoolScope {
  readonly accountId: string;
  readonly scriptName: string;
  readonly bindingName: string;
  /** Null: nothing is presented. */
  readonly credential: Credential | null;
  readonly trust: TrustBundle;
  /** `https://api.example.com:8443`; the port is left out where it is 443. */
  readonly origin: string;
  readonly destination: Destination;
}

/** A connection whose origin was verified, and has been shown the certificate if it asked for one. */
export interface OriginConnection {
  readonly stream: Duplex;
  /** `TLSv1.3`. */
  readonly tlsVersion: string | null;
  /** The origin asked for a certificate. */
  readonly asked: boolean;
  /** False: the origin failed a handshake that resumed a session, and not the one without. */
  readonly resumable: boolean;
  /** The session that was offered goes on. */
  readonly resumed: boolean;
}

/** Opens a connection for a scope. @throws Failure */
export type Open = (
  scope: PoolScope,
  how: {
    readonly protocols: readonly string[];
    readonly session: Buffer | undefined;
    /** A session for a later connection. Only of an origin that was verified. */
    readonly onSession: (session: Buffer) => void;
    /** Aborts when the connection is no longer needed, with the reason. */
    readonly signal: AbortSignal;
    readonly before?: BeforeHandshake | undefined;
  },
) => Promise<OriginConnection>;

/** What is said in the clear before the handshake. @throws Failure: the connection is closed */
export type BeforeHandshake = (socket: Socket) => Promise<void>;

/** How a server wants TLS to begin on a connection of `connect()`. */
export type Beginning = "at once" | "postgres" | "mysql";

/** What all pools share. */
export interface PoolParts {
  readonly open: Open;
  readonly options: GatewayOptions;
  readonly clock: Clock;
}

/** Connections to one origin, for one scope. */
export class OriginPool {
  readonly scope: PoolScope;
  readonly key: string;
  /** What was found out on an earlier connection. Null: nothing yet. */
  beginning: Beginning | null = null;
  /** For requests that it dispatches. */
  readonly patience: Patience;
  readonly #open: Open;
  readonly #options: GatewayOptions;
  readonly #sessions: Sessions;
  #http: Pool;
  /** Replaced by a younger one: they finish what is in flight. */
  readonly #aged: Set<Pool> = new Set();
  /** Unix time in ms at which the connections are old enough to be replaced. */
  #agedAt: number;
  /** Unix time in ms. */
  #renewedAt = -Infinity;
  #http1Only = false;
  #http1: Pool | null = null;
  readonly #connections: Set<Duplex> = new Set();
  readonly #ready: ReadyConnections = new ReadyConnections(() => this.#connection(this.#protocols));
  readonly #errors: ConnectionErrors;
  #shared: Error | null = null;
  #cut: Failure | null = null;
  readonly #cutting: AbortController = new AbortController();
  #closed: Promise<void> | null = null;

  constructor(scope: PoolScope, { open, options, clock }: PoolParts) {
    this.scope = scope;
    this.key = poolKey(scope);
    this.#open = open;
    this.#options = options;
    this.#errors = new ConnectionErrors(scope.credential);
    const { headers, body, dns, connect, handshake } = options.timeouts;
    // As long as an answer may take, after what a connection may: its handshake may wait as well.
    const turn = headers + dns + connect + 2 * handshake;
    this.patience = new Patience({ headers, body, turn }, (error, { stream }) =>
      this.#errors.add(error, stream),
    );
    this.#sessions = new Sessions(options.resumption, clock);
    this.#http = this.#pool(this.#protocols);
    this.#agedAt = this.#nextAge();
  }

  /** For requests. */
  get dispatcher(): Dispatcher {
    if (performance.now() >= this.#agedAt && this.#closed === null) this.#renew();
    return this.#http;
  }

  /** For what HTTP/2 cannot carry. */
  get http1Dispatcher(): Dispatcher {
    this.#http1 ??= this.#pool(["http/1.1"]);
    return this.#http1;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Makes as many connections as another pool has, before requests need them.
   * @param until of `performance.now()`
   */
  async prepare({ connections }: OriginPool, until: number): Promise<void> {
    await this.#ready.make(Math.min(connections, MOST_READY), until);
  }

  /** A connection for raw bytes, without ALPN. Never shared. */
  connect(before?: BeforeHandshake): Promise<Duplex> {
    return this.#connection([], before);
  }

  get options(): GatewayOptions {
    return this.#options;
  }

  /** No new request. Resolves when those in flight, WebSockets among them, have ended. */
  drain(): Promise<void> {
    this.#closed ??= this.#drain();
    return this.#closed;
  }

  /** Ends every connection at once. What is in flight on them fails with `failure`. */
  cut(failure: Failure): void {
    this.#cut = failure;
    this.#sessions.clear();
    this.#ready.end();
    this.#cutting.abort(failure);
    void this.#http.destroy(failure);
    void this.#http1?.destroy(failure);
    for (const aged of this.#aged) void aged.destroy(failure);
    for (const connection of this.#connections) connection.destroy(failure);
  }

  /** The failure of a request that went through this pool. */
  failure(error: Error, ending?: Ending): Failure {
    if (error instanceof Failure) return error;
    if (this.#cut !== null) return this.#cut;
    const facts = connectionOfError(error);
    return exchangeFailure(facts?.error ?? error, this.scope.destination, facts, ending);
  }

  /** The failure of a raw connection that the origin ended before it said anything. */
  endedFailure(stream: Duplex, ending: Ending): Failure {
    const error = Object.assign(new Error("it was closed"), { code: "ECONNRESET" });
    const facts = this.#errors.facts(stream);
    return this.#cut ?? exchangeFailure(error, this.scope.destination, facts, ending);
  }

  /**
   * May a request be sent again? What was not processed, whatever its method. What is safe, once,
   * but not if the connection was new: then it was closed because of the certificate, or of the
   * request.
   */
  mayRetry(error: Error, { isSafe, retries }: Attempt): boolean {
    if (this.#cut !== null) return false;
    if (wasNotProcessed(error)) {
      if (needsHttp1(error) && !this.#http1Only) {
        this.#http1Only = true;
        this.#renew();
      } else if (performance.now() - this.#renewedAt >= BETWEEN_REFUSALS) {
        // It may be closing this connection: what goes out on it again may be lost with it.
        this.#renew();
      }
      return true;
    }
    if (!isSafe || retries > 0 || connectionOfError(error)?.answered !== true) return false;
    return this.failure(error).code !== "origin_response_malformed";
  }

  get #protocols(): readonly string[] {
    return this.#options.http2 && !this.#http1Only ? ["http/1.1", "h2"] : ["http/1.1"];
  }

  /** A pool that is always busy would never follow a change of DNS. */
  #renew(): void {
    const aged = this.#http;
    this.#http = this.#pool(this.#protocols);
    this.#agedAt = this.#nextAge();
    this.#renewedAt = performance.now();
    this.#aged.add(aged);
    void aged.close().then(
      () => this.#aged.delete(aged),
      () => this.#aged.delete(aged),
    );
  }

  /** Not all pools of one origin at the same moment. */
  #nextAge(): number {
    return performance.now() + this.#options.timeouts.life * (0.9 + Math.random() * 0.2);
  }

  #pool(protocols: readonly string[]): Pool {
    const { timeouts, connections } = this.#options;
    return new Pool(this.scope.origin, {
      connections,
      pipelining: 1,
      maxHeaderSize: MOST_HEADERS,
      allowH2: protocols.includes("h2"),
      // `patience` sees to these.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: timeouts.idle,
      keepAliveMaxTimeout: timeouts.idle,
      factory: (origin, parts) => {
        const via: Via = { stream: null };
        const connect: Connect = (_, callback) => void this.#connectFor(protocols, via, callback);
        return new OriginClient(origin, { ...parts, connect }, via);
      },
    });
  }

  /**
   * undici asks again, one after the other, for each request that waited for a connection which
   * failed. They share its failure, or the last would wait for all their time-outs.
   */
  async #connectFor(
    protocols: readonly string[],
    via: Via,
    callback: Parameters<Connect>[1],
  ): Promise<void> {
    let stream: Duplex;
    try {
      stream = await (this.#shared === null
        ? (this.#ready.take() ?? this.#connection(protocols))
        : Promise.reject(this.#shared));
    } catch (error) {
      this.#shared = error as Error;
      setImmediate(() => (this.#shared = null));
      callback(error as Error, null);
      return;
    }
    via.stream = stream;
    try {
      handOver(
        stream,
        () => callback(null, stream as TLSSocket),
        (error) => this.#errors.add(error, stream),
      );
    } catch (error) {
      // Of undici, or of what is set on its connection: this one ends.
      stream.destroy(asError(error));
    }
  }

  async #connection(protocols: readonly string[], before?: BeforeHandshake): Promise<Duplex> {
    if (this.#cut !== null) throw this.#cut;
    // What was said in the clear cannot be said again, and a session that is refused asks for that.
    const session = before === undefined ? this.#sessions.take() : null;
    const connection = await this.#open(this.scope, {
      protocols,
      session: session?.ticket,
      signal: this.#cutting.signal,
      before,
      onSession: (ticket) => {
        if (this.#cut === null && this.#closed === null) this.#sessions.add(ticket);
      },
    });
    const { stream } = connection;
    if (!connection.resumable) this.#sessions.giveUp();
    if (this.#cut !== null) {
      stream.destroy();
      throw this.#cut;
    }
    this.#connections.add(stream);
    this.#errors.follow(connection);
    stream.once("close", () => this.#connections.delete(stream));
    if (session && connection.resumed && connection.tlsVersion === "TLSv1.2") {
      this.#sessions.takeBack(session);
    }
    return stream;
  }

  async #drain(): Promise<void> {
    this.#ready.end();
    this.#sessions.clear();
    // A dispatcher that was cut meanwhile refuses to be closed: it is.
    const http1 = this.#http1 === null ? [] : [this.#http1];
    const pools = [this.#http, ...http1, ...this.#aged];
    await Promise.allSettled(pools.map((pool) => pool.close()));
    await this.#allClosed();
  }

  /** Upgraded and raw connections belong to no dispatcher any more. */
  async #allClosed(): Promise<void> {
    await Promise.all(
      [...this.#connections].map(
        (connection) => new Promise<void>((resolve) => connection.once("close", () => resolve())),
      ),
    );
  }
}

/** Equal for two requests if, and only if, they may share a connection. */
export function poolKey(scope: PoolScope): string {
  const { accountId, scriptName, bindingName, credential, trust, origin } = scope;
  return JSON.stringify([
    accountId,
    scriptName,
    bindingName,
    credential && [credential.certificateId, credential.version, credential.fingerprint],
    trust.id,
    origin,
    scope.destination.at,
  ]);
}

/** In ms: an origin that refuses in a loop gets no more than a new connection each second. */
const BETWEEN_REFUSALS = 1_000;

const MOST_READY = 64;

type Connect = buildConnector.connector;
