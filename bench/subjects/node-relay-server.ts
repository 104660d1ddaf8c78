/**
 * A relay that reads no HTTP: what comes from the Worker at a Unix socket goes to the origin over mutual TLS as it is, a
 * connection for a connection. It shows what bytes alone cost in Node.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { pipeline } from "node:stream";
import { connect } from "node:tls";

const { PORT, CERTIFICATE, KEY, CA } = process.env;
const tls = {
  port: Number(PORT),
  host: "localhost",
  key: readFileSync(KEY!),
  cert: readFileSync(CERTIFICATE!),
  ca: readFileSync(CA!),
};

createServer((worker) => {
  const origin = connect(tls);
  pipeline(worker, origin, () => {});
  pipeline(origin, worker, () => {});
}).listen(process.argv[2]);
