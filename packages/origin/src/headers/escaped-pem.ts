import type { X509Certificate } from "node:crypto";
import { fromBase64 } from "./client-cert.ts";

/** White space is matched in one place: in two, a header of nothing else would take the square of its length. */
const PEM = /^-----BEGIN CERTIFICATE-----\s([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/;

/** A percent-encoded PEM certificate, as in nginx's `$ssl_client_escaped_cert` and Envoy's `Cert`. */
export function readEscapedPem(value: string): X509Certificate | null {
  if (value.length > 131_072) return null;
  let pem: string;
  try {
    pem = decodeURIComponent(value);
  } catch {
    return null;
  }
  const base64 = PEM.exec(pem)?.[1];
  return base64 === undefined ? null : fromBase64(base64.replaceAll(/\s/g, ""));
}
