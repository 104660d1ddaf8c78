import { X509Certificate } from "node:crypto";
import type { CallerCertificate } from "./caller.ts";

/**
 * The facts of a certificate that node:tls or a proxy's header gave. Total: whatever is in it,
 * this never throws; what cannot be read is empty or null.
 */
export function readCertificate(certificate: X509Certificate): CallerCertificate {
  return {
    subject: oneLine(attempt(() => certificate.subject)),
    issuer: oneLine(attempt(() => certificate.issuer)),
    serialNumber: attempt(() => certificate.serialNumber) ?? "",
    fingerprint: (attempt(() => certificate.fingerprint256) ?? "")
      .replaceAll(":", "")
      .toLowerCase(),
    uris: uriNames(attempt(() => certificate.subjectAltName) ?? ""),
    notBefore: date(attempt(() => certificate.validFrom)),
    notAfter: date(attempt(() => certificate.validTo)),
  };
}

/** Null: these bytes are no certificate. */
export function parseCertificate(der: Uint8Array | string): X509Certificate | null {
  return attempt(() => new X509Certificate(der)) ?? null;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function date(text: string | undefined): Date | null {
  const time = Date.parse(text ?? "");
  return Number.isNaN(time) ? null : new Date(time);
}

/**
 * Node writes a name with its most general part first, a part a line; RFC 4514 has the most specific
 * first. An empty name is undefined.
 */
function oneLine(name: string | undefined): string {
  return (name ?? "").split("\n").toReversed().join(",");
}

/**
 * The URI names out of Node's text, in which a value that could be mistaken for the separator is a
 * JSON string: `DNS:a.test, URI:"spiffe://x/y, DNS:b"`.
 */
export function uriNames(text: string): string[] {
  const names: string[] = [];
  for (const [, kind, quoted, plain] of text.matchAll(
    /(?:^|, )([^:,"]+):(?:("(?:[^"\\]|\\.)*")|([^,]*))/g,
  )) {
    if (kind !== "URI") continue;
    const value = quoted === undefined ? plain : attempt(() => JSON.parse(quoted) as string);
    if (value !== undefined) names.push(value);
  }
  return names;
}
