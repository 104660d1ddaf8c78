import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { asError } from "../../forward/guarded.ts";
import type { BoundDatabase, DatabaseProtocol } from "../../contract/database.ts";
import type { GatewayBinding } from "../../contract/gateway.ts";
import { Failure } from "../../failures/failures.ts";
import { newRay } from "../../failures/rendered.ts";
import type { ConnectionObserver } from "../observe/observe.ts";
import { respondWithFailure } from "../respond.ts";
import { mysql } from "./mysql.ts";
import { postgres } from "./postgres.ts";
import type { Protocol } from "./protocol.ts";
import { DatabaseSession, type DatabaseRoute } from "./session.ts";
import { listenAtSocket, type Listening } from "../unix-socket.ts";

/** What a database's socket needs of the gateway. */
export interface DatabaseRouter {
  /** @throws Failure why no connection can be opened now */
  route(): DatabaseRoute;
  /** For what presents this certificate, or none. */
  observer(certificateId: string | null): ConnectionObserver;
  /** As of a binding's router. */
  connection(): (() => void) | null;
  opened(session: DatabaseSession): void;
  closed(session: DatabaseSession): void;
}

export const PROTOCOLS: Readonly<Record<DatabaseProtocol, Protocol>> = { postgres, mysql };

/** ms for a driver that is refused to begin. */
const FIRST_WORD = 10_000;

/** Connections of one Worker to one database, those that wait among them. */
const MOST_CONNECTIONS = 256;

/**
 * The socket of one `hyperdrive` binding. A driver's `connect()` arrives as CONNECT to a made-up
 * host: a program that reaches the socket reaches the one database behind it, and nothing else.
 */
export class DatabaseSocket {
  readonly binding: GatewayBinding;
  readonly #bound: BoundDatabase;
  readonly #router: DatabaseRouter;
  readonly #server: Server;
  readonly #sessions = new Map<Duplex, DatabaseSession | null>();

  constructor(binding: GatewayBinding, bound: BoundDatabase, router: DatabaseRouter) {
    this.binding = binding;
    this.#bound = bound;
    this.#router = router;
    this.#server = createServer((request, response) => {
      const failure = new Failure("database_driver_protocol");
      const shown = { details: this.#router.observer(null).details, ray: newRay() };
      respondWithFailure(failure, request, response, shown);
    });
    this.#server.on("clientError", (_, socket) => socket.destroy());
    this.#server.on("connect", (_: IncomingMessage, driver: Socket, head: Buffer) => {
      driver.on("error", () => driver.destroy());
      try {
        this.#connect(driver, head);
      } catch (error) {
        driver.destroy(asError(error));
      }
    });
  }

  /** Resolves when the socket accepts connections. */
  listen(at: Listening = this.binding.socketPath): Promise<void> {
    return listenAtSocket(this.#server, at);
  }

  /** Each session asks again when it begins. */
  refresh(): void {}

  async prepareAndRefresh(): Promise<void> {}

  sweep(): void {}

  /** Accepts no new connection, lets sessions end for `drain` ms, closes, unlinks. */
  async close(drain: number): Promise<void> {
    const closed = new Promise<void>((fulfil) => this.#server.close(() => fulfil()));
    const timer = setTimeout(() => this.abandon(new Failure("gateway_unavailable")), drain);
    await Promise.all([...this.#sessions.keys()].map(ended));
    clearTimeout(timer);
    this.#server.closeAllConnections();
    await closed;
  }

  /** Every open session gets `failure`, if its protocol allows it. */
  abandon(failure: Failure): void {
    for (const [driver, session] of this.#sessions) {
      if (session === null) driver.destroy();
      else session.cut(failure);
    }
  }

  #connect(driver: Socket, head: Buffer): void {
    this.#sessions.set(driver, null);
    driver.once("close", () => this.#sessions.delete(driver));
    driver.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) driver.unshift(head);
    const protocol = PROTOCOLS[this.#bound.protocol];
    const ray = newRay();
    let route: DatabaseRoute;
    try {
      const giveBack = this.#router.connection();
      if (giveBack !== null) driver.once("close", giveBack);
      if (giveBack === null || this.#sessions.size > MOST_CONNECTIONS) {
        throw new Failure("binding_connections_exhausted");
      }
      route = this.#router.route();
    } catch (error) {
      const failure = error instanceof Failure ? error : new Failure("internal", { cause: error });
      const observer = this.#router.observer(null);
      observer.failed(failure, null, ray);
      const word = protocol.refusal(failure, { details: observer.details, ray });
      driver.setTimeout(FIRST_WORD, () => driver.destroy());
      if (protocol.begins === "server") driver.end(word);
      else driver.once("data", () => driver.end(word));
      driver.resume();
      return;
    }
    const { config, credential } = route;
    const observer = this.#router.observer(credential?.certificateId ?? null);
    const origin = `${config.protocol}://${config.host}:${config.port}`;
    const session = new DatabaseSession(driver, {
      protocol,
      route,
      bound: this.#bound,
      shown: { details: observer.details, ray },
      connected: (connection) => observer.connected(origin, credential, connection),
      failed: (failure) => observer.failed(failure, origin, ray),
    });
    this.#sessions.set(driver, session);
    this.#router.opened(session);
    driver.once("close", () => this.#router.closed(session));
    void session.open();
  }
}

function ended(stream: Duplex): Promise<void> {
  return new Promise((fulfil) => {
    if (stream.closed) fulfil();
    else stream.once("close", () => fulfil());
  });
}
