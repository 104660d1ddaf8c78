/** The usual way in Node: an Agent with key and certificate, and the response piped on. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream";
import { Agent, request } from "undici";

const { ORIGIN, CERTIFICATE, KEY, CA } = process.env;

const agent = new Agent({
  connect: {
    key: readFileSync(KEY!),
    cert: readFileSync(CERTIFICATE!),
    ca: readFileSync(CA!),
  },
});

createServer((incoming, outgoing) => {
  void answer(incoming, outgoing);
}).listen(Number(process.argv[2]), "127.0.0.1");

async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
  const response = await request(ORIGIN! + incoming.url, { dispatcher: agent });
  outgoing.writeHead(response.statusCode, response.headers);
  if (outgoing.destroyed) await response.body.dump();
  else pipeline(response.body, outgoing, () => {});
}
