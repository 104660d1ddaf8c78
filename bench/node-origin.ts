/** The origin for machines without nginx. Arguments: two ports, chain, key, the clients' CA. */
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { LARGE, SMALL } from "./origin.ts";

const [port, resumingPort, chain, key, ca] = process.argv.slice(2);

serve(Number(port), constants.SSL_OP_NO_TICKET);
serve(Number(resumingPort), 0);

function serve(at: number, secureOptions: number): void {
  const server = createServer(
    {
      cert: readFileSync(chain!),
      key: readFileSync(key!),
      ca: readFileSync(ca!),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      secureOptions,
    },
    (request, response) => {
      const url = request.url!;
      response.shouldKeepAlive = url.startsWith("/pooled/");
      if (url.endsWith("/large")) response.end(LARGE);
      else response.setHeader("content-type", "application/json").end(SMALL);
    },
  );
  server.keepAliveTimeout = 75_000;
  server.listen(at, "127.0.0.1");
}
