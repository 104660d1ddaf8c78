import type { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { TLSSocket } from "node:tls";
import type { Credential } from "../../certificates/credential.ts";
import type { BoundDatabase, DatabaseConfig } from "../../contract/database.ts";
import { Failure } from "../../failures/failures.ts";
import { splice } from "../../forward/sockets.ts";
import { exchangeFailure, presentedOf } from "../origin/classify.ts";
import { atOnce, derivedAtOnce, dial, type Network } from "../origin/dial.ts";
import { handshake } from "../origin/handshake.ts";
import type { NewConnection } from "../observe/observe.ts";
import type { ShownFailure } from "../respond.ts";
import type { SecureContexts, TrustBundle } from "../origin/trust.ts";
import type { Places } from "./places.ts";
import type { DriverOpening, Follower, Protocol } from "./protocol.ts";
import { ByteReader } from "./reader.ts";

/** What a session is opened with: in force at that moment. */
export interface DatabaseRoute {
  readonly config: DatabaseConfig;
  /** Null: the configuration presents none. */
  readonly credential: Credential | null;
  readonly trust: TrustBundle;
  readonly network: Network;
  readonly contexts: SecureContexts;
  readonly places: Places;
  readonly password: () => string;
}

export interface SessionParts {
  readonly protocol: Protocol;
  readonly route: DatabaseRoute;
  readonly bound: BoundDatabase;
  readonly shown: ShownFailure;
  readonly connected: (connection: NewConnection) => void;
  readonly failed: (failure: Failure) => void;
}

/** One driver's connection to its database, from the driver's first byte to the end of both. */
export class DatabaseSession {
  readonly credential: Credential | null;
  readonly trust: TrustBundle;
  readonly accountId: string;
  readonly databaseId: string;
  readonly #parts: SessionParts;
  readonly #driver: Socket;
  #follower: Follower | null = null;
  /** Before TLS, and within it. */
  #dialled: Socket | null = null;
  #server: TLSSocket | null = null;
  #leave: (() => void) | null = null;
  #over = false;
  #deadline: NodeJS.Timeout | undefined;

  constructor(driver: Socket, parts: SessionParts) {
    this.#driver = driver;
    this.#parts = parts;
    this.credential = parts.route.credential;
    this.trust = parts.route.trust;
    this.accountId = parts.route.config.accountId;
    this.databaseId = parts.route.config.databaseId;
    driver.once("close", () => this.#end());
  }

  /** Resolves when it is open, was refused, or was only a message. Never rejects. */
  async open(): Promise<void> {
    const { protocol, route } = this.#parts;
    try {
      const server = await protocol.open(new ByteReader(this.#driver), this.#opening());
      clearTimeout(this.#deadline);
      if (server === null) this.#driver.end();
      else this.#join(server);
    } catch (error) {
      if (!this.#over) this.#refuse(failureOf(error, route.config));
    }
  }

  /** Ends it, and tells the driver why if the protocol allows it. */
  cut(failure: Failure): void {
    if (this.#over) return;
    this.#refuse(failure);
  }

  #opening(): DriverOpening {
    const { route, bound } = this.#parts;
    const { config, network, credential } = route;
    const { host, port } = config;
    let startedAt = 0;
    // Asked for at once: a connection that is over does not tell any more.
    let secured: { readonly tlsVersion: string | null; readonly asked: boolean } | null = null;
    return {
      config,
      bound,
      password: () => route.password(),
      timeout: network.timeouts.handshake,
      derive: network.derive ?? derivedAtOnce,
      dial: async () => {
        await this.#enter();
        startedAt = performance.now();
        const socket = await dial({ host, port }, network);
        if (this.#over) {
          socket.destroy();
          throw new Failure("origin_connection_cut");
        }
        this.#dialled = socket;
        return socket;
      },
      handshake: async (socket) => {
        const tls = await this.#handshake(socket);
        secured = {
          tlsVersion: tls.getProtocol(),
          asked: tls.getSharedSigalgs().length > 0,
        };
        this.#parts.connected({
          ms: performance.now() - startedAt,
          resumed: false,
          ...secured,
        });
        return tls;
      },
      failed: (error, tls) =>
        exchangeFailure(
          error,
          { host, port },
          {
            presented: presentedOf(credential),
            tlsVersion: secured?.tlsVersion ?? null,
            asked: credential !== null && secured?.asked === true,
            answered: tls.bytesRead > 0,
          },
        ),
    };
  }

  /** @throws Failure `database_connections_exhausted`, `origin_connection_cut` */
  async #enter(): Promise<void> {
    const { config, places, network } = this.#parts.route;
    const leave = await places.take(config.connectionLimit, network.timeouts.connect);
    if (leave === null) {
      throw new Failure("database_connections_exhausted", {
        message: `all ${config.connectionLimit} connections of the Hyperdrive configuration "${config.name}" are in use`,
        facts: { limit: config.connectionLimit },
      });
    }
    // Who has left meanwhile needs no connection.
    if (this.#over) {
      leave();
      throw new Failure("origin_connection_cut");
    }
    this.#leave = leave;
  }

  async #handshake(socket: Socket): Promise<TLSSocket> {
    const { config, contexts, credential, trust, network } = this.#parts.route;
    const { host, port } = config;
    const { timeouts, turn = atOnce } = network;
    const shaken = async (): Promise<TLSSocket> => {
      // Who has left meanwhile needs no handshake.
      if (this.#over) throw new Failure("origin_connection_cut");
      return await handshake(socket, {
        destination: { host, port },
        context: contexts.get(credential, trust, host),
        presented: presentedOf(credential),
        protocols: [],
        verifyName: config.verifyName,
        spiffe: trust.spiffe,
        timeout: timeouts.handshake,
      });
    };
    const tls = await turn({ host, port }, shaken);
    network.floods?.watch(tls);
    tls.setNoDelay(true);
    this.#server = tls;
    this.#deadline = setTimeout(() => {
      const message = `${host}:${port} did not finish signing in within ${timeouts.handshake} ms`;
      tls.destroy(new Failure("database_sign_in_timeout", { message, facts: { host, port } }));
    }, timeouts.handshake);
    return tls;
  }

  #join(server: TLSSocket): void {
    const { protocol, route } = this.#parts;
    const { host, port, name } = route.config;
    const follower = protocol.follow();
    this.#follower = follower;
    server.on("data", (chunk: Buffer) => follower.see(chunk));
    let first: Error | null = null;
    server.once("error", (error) => (first = error));
    server.once("close", () => {
      if (this.#over || this.#driver.readableEnded) return;
      const reason = first === null ? "closed" : ((first as NodeJS.ErrnoException).code ?? "error");
      this.#refuse(
        new Failure("database_session_ended", {
          message: `${host}:${port} ended the connection (${reason})`,
          facts: { host, port, reason },
        }),
      );
    });
    this.#driver.setTimeout(route.network.timeouts.session, () => {
      this.cut(
        new Failure("database_session_idle", {
          message: `nothing was sent on the connection to "${name}" for ${route.network.timeouts.session / 1000} s`,
        }),
      );
    });
    splice(this.#driver, server);
  }

  #refuse(failure: Failure): void {
    const { protocol, shown, failed } = this.#parts;
    const driver = this.#driver;
    const isOpen = this.#follower !== null;
    const word = isOpen
      ? this.#follower!.refusal(failure, shown)
      : protocol.refusal(failure, shown);
    this.#over = true;
    failed(failure);
    this.#server?.unpipe(driver);
    if (driver.writable && word !== null) {
      driver.end(word);
      // A driver that does not read it does not hold the socket.
      setTimeout(() => driver.destroy(), LAST_WORD).unref();
      driver.resume();
    } else driver.destroy();
    this.#end();
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#deadline);
    this.#leave?.();
    this.#leave = null;
    (this.#server ?? this.#dialled)?.destroy();
  }
}

/** ms for a driver to read why its connection ends */
const LAST_WORD = 2_000;

function failureOf(error: unknown, { host, port }: DatabaseConfig): Failure {
  return exchangeFailure(error as Error, { host, port }, null);
}
