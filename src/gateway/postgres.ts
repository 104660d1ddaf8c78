import { once } from "node:events";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Failure } from "../failures/failures.ts";
import { handshakeFailure } from "./origin/classify.ts";
import { closedEarly } from "./origin/dial.ts";
import { readExactly } from "./clear.ts";
import { GSS_REQUEST, SSL_REQUEST } from "./database/postgres-messages.ts";
import type { Destination } from "./origin/destination.ts";

/** PostgreSQL's SSLRequest (protocol 3.0, section 55.2.11): length 8, code 80877103. */
const sslRequest: Buffer = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/**
 * Asks a PostgreSQL server to begin TLS on this connection. Only servers from version 17 on take
 * a handshake without being asked.
 * @throws Failure `origin_postgres_no_tls`, `origin_handshake_…`
 */
export async function startPostgresTls(
  socket: Socket,
  destination: Destination,
  timeout: number,
): Promise<void> {
  const { host, port } = destination;
  let answer: Buffer;
  try {
    socket.write(sslRequest);
    await once(socket, "readable", { signal: AbortSignal.timeout(timeout) });
    // One byte and no more: what came with it was not sent by a server that waits for TLS.
    answer = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
  } catch (error) {
    socket.destroy();
    throw clearFailure(error as Error, destination);
  }
  if (answer.length === 0) {
    socket.destroy();
    throw clearFailure(closedEarly(), destination);
  }
  if (answer.length === 1 && answer[0] === 0x53) return;
  socket.destroy();
  throw new Failure("origin_postgres_no_tls", {
    message: `${host}:${port} does not offer TLS to PostgreSQL clients`,
    facts: { host, port },
  });
}

/** An error before TLS began. An abort is the end of the time for it. */
export function clearFailure(error: Error, destination: Destination): Failure {
  if (error.name === "AbortError" || error.name === "TimeoutError") {
    const { host, port } = destination;
    return new Failure("origin_handshake_timeout", {
      message: `${host}:${port} did not say in time that TLS may begin`,
      facts: { host, port },
      cause: error,
    });
  }
  return handshakeFailure(error, {
    destination,
    presented: null,
    peer: null,
    heard: false,
    asked: false,
  });
}

/** Are these the first bytes of a PostgreSQL client? Null: there are too few of them to say. */
export function isPostgresClient(first: Buffer): boolean | null {
  // A length below 64 KiB.
  if (first.subarray(0, 2).some((byte) => byte !== 0)) return false;
  if (first.length < 8) return null;
  const [length, code] = [first.readUInt32BE(0), first.readUInt32BE(4)];
  // Protocol 3, or a request: for TLS, GSSAPI encryption or to cancel a query.
  return length >= 8 && (code >>> 16 === 3 || (code >>> 16 === 1234 && length <= 300));
}

/**
 * Answers a driver that asks for TLS with yes: the connection has it, between the gateway and the
 * server. Returns when the driver's first message is there to be read.
 * @throws Failure `connect_second_tls` if the driver begins a handshake then
 */
export async function answerPostgresClient(client: Duplex, upstream: Duplex): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  if (upstream.destroyed) return;
  upstream.once("close", onClose);
  try {
    for (let asked = 0; asked < 3; asked += 1) {
      const request = await readExactly(client, 8, gone.signal);
      if (request === null) return;
      const code = request.readUInt32BE(4);
      if (code !== SSL_REQUEST && code !== GSS_REQUEST) {
        client.unshift(request);
        return;
      }
      client.write(code === SSL_REQUEST ? "S" : "N");
      if (code !== SSL_REQUEST) continue;
      const next = await readExactly(client, 1, gone.signal);
      if (next === null) return;
      if (next[0] === TLS_HANDSHAKE) throw secondTls();
      client.unshift(next);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    // One side is over, which is told where both are joined.
  } finally {
    upstream.off("close", onClose);
  }
}

export function secondTls(): Failure {
  return new Failure("connect_second_tls", {
    message: "the driver began TLS on a connection that presents the certificate in TLS already",
  });
}

/** The type of a TLS record with a handshake's message. */
export const TLS_HANDSHAKE = 0x16;

/** A failure as a PostgreSQL server tells it: an ErrorResponse that ends the connection. */
export function postgresError({ code, message, entry, fix }: Failure): Buffer {
  const fields = [
    ["S", "FATAL"],
    ["V", "FATAL"],
    // sqlclient_unable_to_establish_sqlconnection
    ["C", "08001"],
    ["M", `${code}: ${message}`],
    ["D", entry.cause],
    ["H", fix],
  ] as const;
  const text = fields.map(([type, value]) => `${type}${value.replaceAll("\0", "")}\0`).join("");
  const body = Buffer.from(`${text}\0`);
  const head = Buffer.from("E\0\0\0\0");
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}
