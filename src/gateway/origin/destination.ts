import type { DatabaseProtocol } from "../../contract/database.ts";
import { Failure } from "../../failures/failures.ts";
import { unbracketed } from "../../network/unbracketed.ts";

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
  // A trailing dot says "from the root", and names the same host.
  const hostname = url.hostname.replace(/\.$/, "");
  const host = unbracketed(hostname);
  if (host === "") {
    throw new Failure("origin_request_malformed", { message: `"${text}" names no host` });
  }
  const port = url.port === "" ? 443 : Number(url.port);
  const origin = `https://${hostname}${url.port === "" ? "" : `:${url.port}`}`;
  return { origin, destination: { host, port } };
}

/** What is tried, and how TLS begins there. Null: with the first byte. */
export interface ParsedTarget extends ParsedOrigin {
  readonly protocol: DatabaseProtocol | null;
}

/**
 * As `parseOrigin`, and databases: `postgres://db.example.com:5432`. User, password and name count for nothing.
 * @throws Failure `origin_http_refused`, `origin_request_malformed`
 */
export function parseTarget(text: string): ParsedTarget {
  const url = URL.parse(text);
  const protocol = DATABASES[url?.protocol ?? ""];
  if (url === null || protocol === undefined) return { ...parseOrigin(text), protocol: null };
  const host = unbracketed(url.hostname.toLowerCase().replace(/\.$/, ""));
  if (host === "") {
    throw new Failure("origin_request_malformed", { message: "the database's URL names no host" });
  }
  const port = Number(url.port) || (protocol === "mysql" ? 3306 : 5432);
  const origin = `${protocol}://${host.includes(":") ? `[${host}]` : host}:${port}`;
  return { origin, destination: { host, port }, protocol };
}

const DATABASES: Readonly<Record<string, DatabaseProtocol>> = {
  "postgres:": "postgres",
  "postgresql:": "postgres",
  "mysql:": "mysql",
};

export interface Destination {
  /** Lower case, without a trailing dot; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Where to connect, if not to `host` itself: a name, or addresses of which any will do. */
  readonly at?: readonly string[] | undefined;
}
