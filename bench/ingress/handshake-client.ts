/** Makes TLS connections without a session to resume, and closes each. Takes a `HandshakeOrder`. */
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

/** A front that does not want the client's certificate says so only after the client is done: its tickets come when it does. */
async function shake(): Promise<void> {
  const socket = connect({ port, host: "127.0.0.1", servername: tls.servername, secureContext });
  await once(socket, "session");
  socket.destroy();
}
