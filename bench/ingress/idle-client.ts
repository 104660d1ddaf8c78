/** Opens TLS connections and keeps them open until it is told to end. Its argument is an `IdleOrder`. */
import { once } from "node:events";
import { connect, createSecureContext } from "node:tls";
import type { IdleOrder } from "./idle.ts";

const { port, tls, connections } = JSON.parse(process.argv[2]!) as IdleOrder;
const secureContext = createSecureContext(tls);
let closed = 0;
let left = connections;
await Promise.all(Array.from({ length: 25 }, open));
process.stdout.write("READY\n");
await once(process.stdin, "data");
process.exit(closed === 0 ? 0 : 1);

async function open(): Promise<void> {
  while (left-- > 0) {
    const socket = connect({ port, host: "127.0.0.1", servername: tls.servername, secureContext });
    await once(socket, "session");
    socket
      .on("close", () => (closed += 1))
      .on("error", () => {})
      .resume();
  }
}
