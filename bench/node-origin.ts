/** The origin where nginx is not installed. Arguments: port, chain, key, the clients' CA. */
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { LARGE, SMALL } from "./origin.ts";

const [port, chain, key, ca] = process.argv.slice(2);

const server = createServer(
  {
    cert: readFileSync(chain!),
    key: readFileSync(key!),
    ca: readFileSync(ca!),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
  },
  (request, response) => {
    const url = request.url!;
    response.shouldKeepAlive = !url.startsWith("/each/");
    if (url.endsWith("/large")) response.end(LARGE);
    else response.setHeader("content-type", "application/json").end(SMALL);
  },
);
server.keepAliveTimeout = 75_000;
server.listen(Number(port), "127.0.0.1");
