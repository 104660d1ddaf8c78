import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { BoundDatabase, DatabaseConfig } from "../../contract/database.ts";
import { Failure } from "../../failures/failures.ts";
import type { ShownFailure } from "../respond.ts";
import type { ByteReader } from "./reader.ts";

/** What a family of databases speaks, on both sides of the gateway. */
export interface Protocol {
  /** Which side sends first. Before that, the driver cannot understand a failure. */
  readonly begins: "driver" | "server";
  /**
   * Handles a connection from the driver's first byte until the session is open on both sides. From
   * then on, bytes pass unchanged. Null: the driver requested something else, which was done.
   * @throws Failure, or an error of either stream
   */
  open(driver: ByteReader, opening: DriverOpening): Promise<TLSSocket | null>;
  /**
   * The same without a driver: TLS with the server, and then its sign-in.
   * @throws Failure, or an error of the stream
   */
  secure(opening: Opening): Promise<Secured>;
  /** Follows the server's messages from then on. */
  follow(): Follower;
  /** A failure, for a driver whose session is not open yet. */
  refusal(failure: Failure, shown: ShownFailure): Buffer;
}

/** A server within TLS that nobody has signed in to yet. */
export interface Secured {
  readonly tls: TLSSocket;
  /** Resolves once a session is open. @throws Failure */
  signIn(): Promise<void>;
}

export interface Follower {
  see(chunk: Buffer): void;
  /** A failure as the next message of an open session. Null: the protocol allows no message now. */
  refusal(failure: Failure, shown: ShownFailure): Buffer | null;
}

/** What a connection is opened with. */
export interface Opening {
  readonly config: Pick<DatabaseConfig, "host" | "port" | "database" | "user">;
  /** Unsealed when it is asked for. */
  readonly password: () => string;
  /** A free place and a TCP connection to the server, as the address policy allows. */
  dial(): Promise<Socket>;
  /** TLS on it, with the certificate, to a server that was verified. */
  handshake(socket: Socket): Promise<TLSSocket>;
  /** ms for one step. */
  readonly timeout: number;
  /** What the server does instead of an answer, as a failure. */
  failed(error: Error, tls: TLSSocket): Failure;
  /** A key that the server says how to derive, when it is its owner's turn. */
  derive<T>(work: () => Promise<T>): Promise<T>;
}

/** With a driver that has the binding's connection string. */
export interface DriverOpening extends Opening {
  readonly bound: BoundDatabase;
}

/**
 * What a driver begins with. One that ends, breaks off or says nothing is told so: the server, whose
 * connection may be open by then, is not to blame.
 * @throws Failure `database_driver_protocol`, or what `read` throws
 */
export async function fromDriver<T>(read: Promise<T>, timeout: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `the driver did not begin within ${timeout} ms`;
    timer = setTimeout(() => reject(new Failure("database_driver_protocol", { message })), timeout);
  });
  try {
    return await Promise.race([read, late]);
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure("database_driver_protocol", { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** One message, in the words that both families can carry. */
export interface Told {
  readonly sqlState: string;
  readonly message: string;
  readonly cause: string;
  readonly fix: string;
}

/**
 * The whole message, or only the table's text without hosts and names, as `--failure-details` says.
 */
export function told(failure: Failure, { details, ray }: ShownFailure): Told {
  const { code, message, fix, entry } = failure;
  const sqlState = failure.facts["sqlState"];
  return {
    sqlState: typeof sqlState === "string" ? sqlState : sqlStateOf(failure),
    message: details === "owner" ? `${code}: ${entry.title} (ray ${ray})` : `${code}: ${message}`,
    cause: entry.cause,
    fix: details === "owner" ? entry.fix : fix,
  };
}

/** Of class 08, but where another says it better. */
function sqlStateOf({ code }: Failure): string {
  switch (code) {
    case "database_connections_exhausted":
    case "binding_connections_exhausted":
      return "53300";
    case "database_name_other":
      return "3D000";
    case "database_driver_protocol":
      return "08P01";
    case "origin_connection_cut":
    case "database_session_idle":
    case "database_session_ended":
      return "08006";
    default:
      return code.startsWith("origin_refused_certificate") ? "08004" : "08001";
  }
}
