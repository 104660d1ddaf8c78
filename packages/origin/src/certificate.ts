import { X509Certificate } from "node:crypto";
import type { CallerCertificate } from "./caller.ts";

/**
 * The facts of a certificate from node:tls or from a proxy's header. Never throws: fields that cannot be read are empty
 * or null.
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

/** Null: these bytes are not a certificate. */
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
 * Node writes a name with its most general part first and one part per line; RFC 4514 puts the most specific part
 * first. An empty name is undefined.
 */
function oneLine(name: string | undefined): string {
  return (name ?? "").split("\n").toReversed().join(",");
}

/**
 * The URI names in Node's text, which writes a value as a JSON string if it could be mistaken for the separator:
 * `DNS:a.test, URI:"spiffe://x/y, DNS:b"`.
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
