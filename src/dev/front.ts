import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";
import { Pool } from "undici";
import { forward, forwardUpgrade, wasNeverSent, type ForwardTarget } from "../forward/forward.ts";

/** A service that an origin stands in front of. */
export interface Front extends AsyncDisposable {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** What only the origin may say. */
const dropped: ReadonlySet<string> = new Set(["client-cert", "client-cert-chain"]);

/** @param to its path is put before each request's */
export function startFront(to: URL): Front {
  const pool = new Pool(to.origin);
  const base = to.pathname.replace(/\/$/, "");
  const target = (request: IncomingMessage): ForwardTarget => ({
    dispatcher: pool,
    path: `${base}${request.url ?? "/"}`,
    host: null,
    dropped,
    added: ["client-cert", clientCert(request.socket as TLSSocket)],
    // A Worker is not run twice for one request, in development neither.
    mayRetry: wasNeverSent,
    failed: (error, _request, response) => {
      response.writeHead(502, { "content-type": "text/plain" });
      response.end(`${to.href} did not answer: ${error.message}\n`);
    },
  });
  return {
    request: (request, response) => forward(request, response, target(request)),
    upgrade: (request, socket, head) => forwardUpgrade(request, socket, head, target(request)),
    [Symbol.asyncDispose]: () => pool.destroy(),
  };
}

/** RFC 9440: the DER as a structured field's byte sequence. */
function clientCert(socket: TLSSocket): string {
  return `:${socket.getPeerX509Certificate()?.raw.toString("base64") ?? ""}:`;
}
