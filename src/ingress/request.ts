import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import type { FailureCode } from "../failures/failures.ts";
import { type HeaderNames, tokens } from "../forward/headers.ts";
import { headerSize, MOST_HEADERS, MOST_URL } from "../forward/limits.ts";
import { plainAddress } from "../network/ranges.ts";
import { type Client, wasForwarded } from "../network/trusted-proxies.ts";
import { CF_HEADER } from "./protocol.ts";
import type { Judged } from "./clients.ts";
import { PLAIN_HTTP_CF, secureCf } from "./cf.ts";

/** Where a request wants to go, read from its target and `Host`. */
export interface RequestTarget {
  /** As the client wrote it, with its port: what the Worker sees in `request.url`. */
  readonly authority: string;
  /** Lower case, without port and trailing dot. */
  readonly host: string;
  /** With its query. */
  readonly path: string;
}

/** Null: the request names no host that a Worker could have. */
export function requestTarget(request: IncomingMessage): RequestTarget | null {
  const url = request.url!;
  // The absolute form, as a proxy's clients use it, counts for more than `Host` (RFC 9112, 3.2.2).
  const absolute = ABSOLUTE.exec(url);
  const authority = absolute?.[1] ?? request.headers.host ?? "";
  const rest = absolute === null ? url : (absolute[2] ?? "");
  const path = rest === "" || rest.startsWith("?") ? `/${rest}` : rest;
  const [, host, port = "0"] = AUTHORITY.exec(authority) ?? [];
  if (host === undefined || Number(port) > 65_535 || !path.startsWith("/") || hasTwoHosts(request))
    return null;
  return { authority, host: host.toLowerCase().replace(/\.$/, ""), path };
}

/** One character begins its path or its query: otherwise a long one would take the square of its length. */
const ABSOLUTE = /^https?:\/\/([^/?#]*)([/?][^#]*)?$/i;
const AUTHORITY = /^([a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/i;

/** Node takes the first and drops the others; another server might take the last. */
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === 4 && rawHeaders[i]!.toLowerCase() === "host") hosts++;
  }
  return hosts > 1;
}

/** Why a request goes nowhere, to no Worker and no origin. Null: nothing speaks against it. */
export function whyUnfit(request: IncomingMessage, { path }: RequestTarget): FailureCode | null {
  if (path.length > MOST_URL) return "url_too_long";
  if (headerSize(request.rawHeaders) > MOST_HEADERS) return "headers_too_large";
  return codingRefusal(request);
}

/**
 * A body may be coded for the way in a form that is not undone here, or so that nobody knows where
 * it ends (RFC 9112, 6.1 and 6.3).
 */
function codingRefusal({ headers }: IncomingMessage): FailureCode | null {
  const coding = headers["transfer-encoding"];
  if (coding === undefined || coding === "chunked") return null;
  const codings = tokens(coding);
  if (codings.at(-1) !== "chunked") return "request_malformed";
  return codings.length === 1 ? null : "transfer_coding_unsupported";
}

/**
 * Headers that only the ingress may set: what a client sends under these names is dropped. All of
 * `cf-*`, because a Worker takes them for Cloudflare's word.
 */
export const INGRESS_HEADERS: HeaderNames = {
  has: (name) =>
    name.startsWith("cf-") ||
    INGRESS_NAMES.has(name) ||
    // A service behind CGI or its successors does not tell "_" from "-".
    (name.includes("_") && INGRESS_HEADERS.has(name.replaceAll("_", "-"))),
};

const INGRESS_NAMES: ReadonlySet<string> = new Set([
  // Headers in which proxies pass on a client's certificate. Sent by a client, they prove nothing.
  "client-cert",
  "client-cert-chain",
  "x-forwarded-client-cert",
  "x-ssl-client-cert",
  "x-ssl-client-der",
  "x-ssl-client-verify",
  CF_HEADER,
  "true-client-ip",
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-real-ip",
]);

/** What the client spoke: to a trusted proxy if that says so, else to the ingress. */
export function schemeOf({ scheme }: Client, tls: TLSSocket | null): "http" | "https" {
  return scheme ?? (tls === null ? "http" : "https");
}

/** What a Worker expects to be told of its client. Flat: name, value … */
export function ingressHeaders(
  request: IncomingMessage,
  {
    ray,
    peer,
    client: sender,
    tls,
    judged,
    isOrigin = false,
  }: {
    readonly ray: string;
    /** The other end of the connection, which may be a proxy. */
    readonly peer: string;
    readonly client: Client;
    /** Null: plain HTTP. */
    readonly tls: TLSSocket | null;
    readonly judged: Judged;
    /** An origin answers, not a Worker. */
    readonly isOrigin?: boolean;
  },
): string[] {
  const client = sender.address ?? "";
  const scheme = schemeOf(sender, tls);
  const forwarded = request.headers["x-forwarded-for"];
  return [
    ...(isOrigin ? [] : [CF_HEADER, tls === null ? PLAIN_HTTP_CF : secureCf(tls, judged.tls)]),
    "CF-Connecting-IP",
    client,
    "CF-Ray",
    ray,
    "CF-Visitor",
    `{"scheme":"${scheme}"}`,
    "X-Forwarded-For",
    forwarded === undefined ? peer : `${String(forwarded)}, ${peer}`,
    "X-Forwarded-Proto",
    scheme,
    "X-Real-IP",
    client,
    ...judged.headers,
  ];
}

/** `NAME.localhost`, and `localhost` itself. */
export function isLocalName(host: string): boolean {
  return host === "localhost" || host.endsWith(".localhost");
}

/**
 * Whether a program on this machine sent it, not a proxy here for a stranger. A proxy gives itself
 * away by a forwarding header, or by HTTP/1.0, which is what nginx speaks unless it is told otherwise.
 */
export function isDirectFromThisMachine(request: IncomingMessage): boolean {
  const address = peerAddress(request);
  const isHere = address === "::1" || address.startsWith("127.");
  return isHere && request.httpVersion !== "1.0" && !wasForwarded(request.headers);
}

/** An IPv4 client of a socket that listens on IPv6 too shows up as `::ffff:192.0.2.1`. */
function peerAddress(request: IncomingMessage): string {
  return plainAddress(request.socket.remoteAddress ?? "");
}
