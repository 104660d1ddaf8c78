import type { ShownRevocationList } from "./client/host-api.ts";

/** `CN=Partners: 3 revoked, of 2026-11-26T…, from https://…`. */
export function describeList({ issuer, entries, this_update, url }: ShownRevocationList): string {
  const from = url === null ? "uploaded" : `from ${url}`;
  return `${issuer}: ${entries} revoked, list of ${this_update}, ${from}`;
}
