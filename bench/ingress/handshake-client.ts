/** Makes TLS connections without resuming a session, and closes each. Its argument is a `HandshakeOrder`. */
import { once } from "node:events";
import { connect, createSecureContext } from "node:tls";
import type { HandshakeOrder } from "./handshakes.ts";

const { port, tls, connections, seconds } = JSON.parse(process.argv[2]!) as HandshakeOrder;
const secureContext = createSecureContext(tls);
await shake();
process.stdout.write("READY\n");
await once(process.stdin, "data");
process.stdin.destroy();

let count = 0;
const startedAt = performance.now();
const until = startedAt + seconds * 1_000;
await Promise.all(
  Array.from({ length: connections }, async () => {
    while (performance.now() < until) {
      await shake();
      count += 1;
    }
  }),
);
const microseconds = Math.round((performance.now() - startedAt) * 1_000);
process.stdout.write(`RESULT ${count} ${microseconds}\n`);

/**
 * If a front refuses the client's certificate, this shows only after the client is done. The front's tickets prove that
 * it was accepted.
 */
async function shake(): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", servername: tls.servername, secureContext });
  await once(socket, "session");
  socket.destroy();
}
