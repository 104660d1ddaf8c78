import type { X509Certificate } from "node:crypto";
import { parseCertificate } from "../certificate.ts";

/**
 * Reads `Client-Cert`: one byte sequence, `:base64:`.
 * @returns null if it is not one, or holds no certificate
 * @see RFC 9440, section 2.2
 */
export function readClientCert(value: string): X509Certificate | null {
  const base64 = /^ *:([A-Za-z0-9+/]{1,65536}={0,2}): *$/.exec(value)?.[1];
  if (base64 === undefined) return null;
  return fromBase64(base64);
}

/** @returns null where the text is not canonical base64 of one certificate in DER */
export function fromBase64(base64: string): X509Certificate | null {
  const der = Buffer.from(base64, "base64");
  if (der.toString("base64") !== base64) return null;
  const certificate = parseCertificate(der);
  // Nothing would judge bytes after the certificate, so there must be none.
  return certificate !== null && certificate.raw.equals(der) ? certificate : null;
}
