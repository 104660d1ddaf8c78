import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";
import { Pool } from "../forward/undici.ts";
import { forward, forwardUpgrade, wasNeverSent, type ForwardTarget } from "../forward/forward.ts";

/** A proxy in front of a service, which an origin passes its requests to. */
export interface Front extends AsyncDisposable {
  request(request: IncomingMessage, response: ServerResponse): void;
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/** Headers that only the origin may set. */
const dropped: ReadonlySet<string> = new Set(["client-cert", "client-cert-chain"]);

/** @param to its path is put before the path of each request */
export function startFront(to: URL): Front {
  const pool = new Pool(to.origin);
  const base = to.pathname.replace(/\/$/, "");
  const target = (request: IncomingMessage): ForwardTarget => ({
    dispatcher: pool,
    path: `${base}${request.url ?? "/"}`,
    host: null,
    dropped,
    added: ["client-cert", clientCert(request.socket as TLSSocket)],
    // As in production, a Worker is not run twice for one request.
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

/** The DER certificate as a structured field's byte sequence (RFC 9440). */
function clientCert(socket: TLSSocket): string {
  return `:${socket.getPeerX509Certificate()?.raw.toString("base64") ?? ""}:`;
}
