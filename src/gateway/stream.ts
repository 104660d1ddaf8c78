import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { Failure } from "../failures/failures.ts";
import { readable } from "./clear.ts";
import { MysqlSwitch } from "./mysql.ts";
import type { Beginning, OriginPool } from "./origin/pool.ts";
import {
  answerPostgresClient,
  isPostgresClient,
  postgresError,
  startPostgresTls,
} from "./postgres.ts";

/** The Worker's side of a `connect()`. */
export class StreamClient {
  readonly socket: Duplex;
  /** The Worker was told that there is a connection. Failures can no longer be a response. */
  accepted = false;
  /** How a failure is told in the driver's own protocol, as long as the server has said nothing. */
  tell: ((failure: Failure) => Buffer) | null = null;
  readonly #onAccept: () => void;

  constructor(socket: Duplex, onAccept: () => void) {
    this.socket = socket;
    this.#onAccept = onAccept;
  }

  accept(): void {
    if (this.accepted) return;
    this.accepted = true;
    // As Node's documentation has it: its response class would add a body's headers.
    this.socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    this.#onAccept();
  }
}

/**
 * A connection to the origin for a `connect()`, in TLS, with the certificate. The Worker sends
 * nothing before it is told that there is a connection, and after that it cannot be told why there
 * is none: so the handshake is made before that wherever the protocol allows it. How TLS begins is
 * known by the port, by an earlier connection, by what the server did with a handshake, and at last
 * by what the driver says first.
 * @throws Failure
 */
export async function openStream(client: StreamClient, pool: OriginPool): Promise<Duplex> {
  const known = pool.beginning ?? byPort(pool);
  if (known === "postgres") return await throughPostgres(client, pool);
  if (known === "mysql") return await throughMysql(client, pool);
  let upstream: Duplex;
  const startedAt = performance.now();
  try {
    upstream = await pool.connect();
  } catch (error) {
    if (known !== null || !(error instanceof Failure) || !mayWantToBeAsked(error)) throw error;
    // A server that speaks first has done so within this time. One that only answers never will.
    const took = Math.ceil(performance.now() - startedAt);
    const patience = Math.min(MYSQL_GREETS, 500 + 2 * took);
    return await asked(client, pool, error, patience);
  }
  client.accept();
  return known === "at once" ? upstream : await byWhatTheClientSays(client, pool, upstream);
}

function byPort({ options, scope }: OriginPool): Beginning | null {
  const { port } = scope.destination;
  if (options.postgresPorts.includes(port)) return "postgres";
  return options.mysqlPorts.includes(port) ? "mysql" : null;
}

async function throughPostgres(client: StreamClient, pool: OriginPool): Promise<Duplex> {
  const upstream = await pool.connect((socket) =>
    startPostgresTls(socket, pool.scope.destination, pool.options.timeouts.handshake),
  );
  pool.beginning = "postgres";
  client.accept();
  return await postgresDriver(client, upstream);
}

async function postgresDriver(client: StreamClient, upstream: Duplex): Promise<Duplex> {
  client.tell = postgresError;
  try {
    await answerPostgresClient(client.socket, upstream);
  } catch (error) {
    client.tell = null;
    upstream.destroy();
    throw error;
  }
  return upstream;
}

async function throughMysql(client: StreamClient, pool: OriginPool): Promise<Duplex> {
  const { destination } = pool.scope;
  const { handshake } = pool.options.timeouts;
  const session = new MysqlSwitch(client, destination, handshake);
  let greeted = false;
  const upstream = await pool.connect(async (socket) => {
    greeted = await session.greeted(socket, Math.min(handshake, MYSQL_GREETS));
    if (greeted) await session.ask(socket);
  });
  if (!greeted) {
    // A server of TLS from the first byte on MySQL's port: it waits for the client.
    pool.beginning = "at once";
    client.accept();
    return upstream;
  }
  pool.beginning = "mysql";
  return await mysqlDriver(session, upstream);
}

async function mysqlDriver(session: MysqlSwitch, upstream: Duplex): Promise<Duplex> {
  try {
    await session.signIn(upstream);
  } catch (error) {
    upstream.destroy();
    throw error;
  }
  return upstream;
}

/** For a server that did not take a handshake: it may be one that wants to be asked for TLS. */
async function asked(
  client: StreamClient,
  pool: OriginPool,
  first: Failure,
  patience: number,
): Promise<Duplex> {
  const { destination } = pool.scope;
  const { handshake } = pool.options.timeouts;
  const session = new MysqlSwitch(client, destination, handshake);
  let found: Beginning | null = null;
  let upstream: Duplex;
  try {
    upstream = await pool.connect(async (socket) => {
      const spoke = first.code === "origin_not_tls";
      if (spoke && (await session.greeted(socket, Math.min(handshake, patience)))) {
        found = "mysql";
        await session.ask(socket);
      } else {
        await startPostgresTls(socket, destination, handshake);
        found = "postgres";
      }
    });
  } catch (error) {
    throw found === null ? first : error;
  }
  pool.beginning = found;
  if (found === "mysql") return await mysqlDriver(session, upstream);
  client.accept();
  return await postgresDriver(client, upstream);
}

/**
 * A PostgreSQL from version 17 on takes a handshake at once, and closes the connection if that does
 * not name its protocol. Its driver is known by its first bytes: the server is then asked for TLS
 * over another connection. If it does not understand that, the one that stands is used.
 */
async function byWhatTheClientSays(
  client: StreamClient,
  pool: OriginPool,
  upstream: Duplex,
): Promise<Duplex> {
  const isPostgres = await saysPostgres(client.socket, upstream);
  if (!isPostgres) {
    pool.beginning = "at once";
    return upstream;
  }
  client.tell = postgresError;
  let other: Duplex;
  try {
    const { destination } = pool.scope;
    other = await pool.connect((socket) =>
      startPostgresTls(socket, destination, pool.options.timeouts.handshake),
    );
  } catch (error) {
    if (upstream.destroyed) throw error;
    return await postgresDriver(client, upstream);
  }
  pool.beginning = "postgres";
  upstream.destroy();
  return await postgresDriver(client, other);
}

/** What comes first: of the client's bytes, or the server's. */
async function saysPostgres(client: Duplex, upstream: Duplex): Promise<boolean> {
  let first: Buffer = Buffer.alloc(0);
  for (;;) {
    // The server may have closed because of the bytes it got. The client's bytes still show the
    // protocol.
    const isGone = upstream.destroyed || upstream.readableEnded;
    const patience = isGone ? AbortSignal.timeout(CLIENT_SPEAKS) : undefined;
    await readable(isGone ? [client] : [client, upstream], patience).catch(() => {});
    first = Buffer.concat([first, (client.read() as Buffer | null) ?? Buffer.alloc(0)]);
    const verdict = isPostgresClient(first);
    const isOver = client.readableEnded || client.destroyed;
    const hasSpoken = upstream.readableLength > 0 || patience?.aborted === true;
    if (verdict === null && !isOver && !hasSpoken) continue;
    if (first.length === 0) return false;
    if (isOver) upstream.write(first);
    else client.unshift(first);
    return verdict === true;
  }
}

function mayWantToBeAsked({ code }: Failure): boolean {
  return code === "origin_not_tls" || code === "origin_handshake_reset";
}

/** ms */
const CLIENT_SPEAKS = 1_000;
/** ms: one that looks up its client's name first takes its time. */
const MYSQL_GREETS = 3_000;
