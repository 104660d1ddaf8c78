import { once } from "node:events";
import type { Socket } from "node:net";
import { Failure } from "../failures/failures.ts";
import { handshakeFailure } from "./classify.ts";
import type { Destination } from "./destination.ts";

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
    throw handshakeFailure(error as Error, {
      destination,
      presented: null,
      peer: null,
      heard: false,
      asked: false,
    });
  }
  if (answer.length === 1 && answer[0] === 0x53) return;
  socket.destroy();
  throw new Failure("origin_postgres_no_tls", {
    message: `${host}:${port} does not offer TLS to PostgreSQL clients`,
    facts: { host, port },
  });
}
