import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { presentedOf, type ConnectionFacts } from "./classify.ts";
import type { Credential } from "../../certificates/credential.ts";

interface FollowedConnection {
  readonly stream: Duplex;
  readonly tlsVersion: string | null;
  readonly asked: boolean;
}

/** The connection that an error is of, and the first error of that connection. */
const connectionOf: WeakMap<Error, ConnectionFacts & { readonly error: Error }> = new WeakMap();

/** Null: of no connection that stood. */
export function connectionOfError(
  error: Error,
): (ConnectionFacts & { readonly error: Error }) | null {
  return connectionOf.get(error) ?? null;
}

/** Remembers which connection of a pool an error is of: a failure says what is known of it. */
export class ConnectionErrors {
  readonly #credential: Credential | null;
  /** A failure is told of when its connection may have closed. */
  readonly #made: WeakMap<Duplex, FollowedConnection> = new WeakMap();

  /** @param credential null: nothing is presented */
  constructor(credential: Credential | null) {
    this.#credential = credential;
  }

  /** Has to come before undici listens to the connection. */
  follow(connection: FollowedConnection): void {
    const { stream } = connection;
    this.#made.set(stream, connection);
    // An alert comes as an error and then an end, of which undici makes an error of its own and
    // reports only that: the first is what happened.
    let first: Error | null = null;
    stream.on("error", (error) => {
      first ??= error;
      connectionOf.set(error, { ...this.#factsOf(connection), error: first });
    });
  }

  /** An error that the connection itself does not emit. */
  add(error: Error, stream: Duplex | null): void {
    const facts = stream === null ? null : this.facts(stream);
    if (facts !== null) connectionOf.set(error, { ...facts, error });
  }

  /** Null: of another pool. */
  facts(stream: Duplex): ConnectionFacts | null {
    const connection = this.#made.get(stream);
    return connection === undefined ? null : this.#factsOf(connection);
  }

  #factsOf({ stream, tlsVersion, asked }: FollowedConnection): ConnectionFacts {
    return {
      presented: presentedOf(this.#credential),
      tlsVersion,
      asked,
      // A TLS socket counts what the application gets, not the handshake nor its tickets.
      answered: !(stream instanceof TLSSocket) || stream.bytesRead > 0,
    };
  }
}
