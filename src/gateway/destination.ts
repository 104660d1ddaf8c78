import { Failure } from "../failures/failures.ts";

export interface ParsedOrigin {
  /** Normalised: lower case, no default port. */
  readonly origin: string;
  readonly destination: Destination;
}

/**
 * @param text a URL's scheme and authority, as workerd writes it
 * @throws Failure `origin_http_refused`, `origin_request_malformed`
 */
export function parseOrigin(text: string): ParsedOrigin {
  const url = URL.parse(text);
  if (url === null || url.hostname === "") {
    throw new Failure("origin_request_malformed", { message: `"${text}" is not an absolute URL` });
  }
  // workerd writes a WebSocket's URL with http or https; others may not.
  if (url.protocol !== "https:" && url.protocol !== "wss:") {
    throw new Failure("origin_http_refused", {
      message: `"${url.protocol}//${url.host}" is not fetched through a binding: there is no TLS to present its certificate in`,
      facts: { host: url.hostname },
    });
  }
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? 443 : Number(url.port);
  return { origin: `https://${url.host}`, destination: { host, port } };
}

export interface Destination {
  /** Lower case; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}
