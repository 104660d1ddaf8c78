import type { IncomingMessage, ServerResponse } from "node:http";
import type { RequestTarget } from "./request.ts";

/** The same URL over TLS. Null: no redirect, because ACME servers request it over plain HTTP. */
export function secureUrl({ host, path }: RequestTarget, port: number): URL | null {
  if (path.startsWith("/.well-known/acme-challenge/")) return null;
  return URL.parse(`https://${host}:${port}${path}`);
}

/** As Cloudflare does; what has a body is asked for in the same way again. */
export function redirect(
  request: IncomingMessage,
  response: ServerResponse,
  to: URL,
  ray: string,
): void {
  const status = request.method === "GET" || request.method === "HEAD" ? 301 : 308;
  response.writeHead(status, { location: to.href, "content-length": 0, "cf-ray": ray });
  response.end();
}
