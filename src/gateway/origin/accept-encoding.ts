import type { IncomingMessage } from "node:http";

/**
 * Whether a request is to ask for compressed answers although its Worker did not say so, as
 * `fetch()` does on Cloudflare: the runtime decodes them. A Worker's own word counts; a range is
 * one of the bytes as they are, and a HEAD asks for the length of those.
 */
export function mayBeCompressed({ method, rawHeaders }: IncomingMessage): boolean {
  if (method === "HEAD") return false;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length !== 15 && name.length !== 5) continue;
    const lower = name.toLowerCase();
    if (lower === "accept-encoding" || lower === "range") return false;
  }
  return true;
}
