import type { X509Certificate } from "node:crypto";
import type { CallerFacts } from "../caller.ts";

/** Name, value, name, value, as node:http's `rawHeaders`: with duplicates, and in the case that was sent. */
export type RawHeaders = readonly string[];

/** These headers belong to one connection (RFC 9110, section 7.6.1). Each side frames its bodies itself. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A `Connection` header that names one of these would change which request it is, so they stay. */
const kept: ReadonlySet<string> = new Set(["host", "content-length"]);

/** Headers without those that are for this connection only. */
export function endToEnd(headers: RawHeaders): string[] {
  const named = new Set<string>();
  for (const [name, value] of pairs(headers)) {
    if (name.toLowerCase() !== "connection") continue;
    for (const token of value.split(",")) named.add(token.trim().toLowerCase());
  }
  return pairs(headers)
    .filter(([name]) => {
      const lower = name.toLowerCase();
      return !hopByHop.has(lower) && (!named.has(lower) || kept.has(lower));
    })
    .flat();
}

/** Headers without those that name the caller: only the sidecar may set them. */
export function withoutIdentity(headers: RawHeaders): string[] {
  return pairs(headers)
    .filter(([name]) => !saysWhoCalls(name))
    .flat();
}

/** `X_Countersign_Worker` counts too: CGI and its successors do not tell `_` from `-`. */
function saysWhoCalls(name: string): boolean {
  const plain = name.toLowerCase().replaceAll(/[^a-z0-9]/g, "-");
  return plain.startsWith("x-countersign-") || /^client-cert(?:-chain)?$/.test(plain);
}

/** Headers that name the caller, for the service behind. Unknown facts have no header. */
export function identityHeaders(facts: CallerFacts, certificate: X509Certificate): string[] {
  const { worker, account, environment, spiffeId } = facts;
  const headers = ["Client-Cert", `:${certificate.raw.toString("base64")}:`];
  if (worker !== null) headers.push("X-Countersign-Worker", encodeURIComponent(worker));
  if (account !== null) headers.push("X-Countersign-Account", encodeURIComponent(account));
  if (environment !== null) {
    headers.push("X-Countersign-Environment", encodeURIComponent(environment));
  }
  if (spiffeId !== null && /^[\x21-\x7e]+$/.test(spiffeId)) {
    headers.push("X-Countersign-Spiffe-Id", spiffeId);
  }
  return headers;
}

/** Replaces all headers of that name by one. */
export function withHeader(headers: RawHeaders, name: string, value: string): string[] {
  const others = pairs(headers).filter(([one]) => one.toLowerCase() !== name.toLowerCase());
  return [...others.flat(), name, value];
}

function pairs(headers: RawHeaders): [name: string, value: string][] {
  const list: [string, string][] = [];
  for (let i = 0; i + 1 < headers.length; i += 2) list.push([headers[i]!, headers[i + 1]!]);
  return list;
}
