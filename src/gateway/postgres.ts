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
  { timeout, signal }: { readonly timeout: number; readonly signal?: AbortSignal | undefined },
): Promise<void> {
  const { host, port } = destination;
  let answer: Buffer;
  try {
    socket.write(sslRequest);
    const late = AbortSignal.timeout(timeout);
    const either = signal === undefined ? late : AbortSignal.any([signal, late]);
    await once(socket, "readable", { signal: either });
    // One byte and no more: what came with it was not sent by a server that waits for TLS.
    answer = (socket.read() as Buffer | null) ?? Buffer.alloc(0);
  } catch (error) {
    socket.destroy();
    signal?.throwIfAborted();
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
