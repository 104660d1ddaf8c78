import type { IncomingHttpHeaders } from "node:http";
import { readCertificate } from "../certificate.ts";
import type { CallerCertificate } from "../caller.ts";
import { fromBase64, readClientCert } from "./client-cert.ts";
import { readEscapedPem } from "./escaped-pem.ts";
import { readForwardedClientCert } from "./forwarded-client-cert.ts";

/**
 * How the proxy in front tells of the client's certificate:
 * - `client-cert`: RFC 9440's `Client-Cert`, as the sidecar of Countersign sends it
 * - `xfcc`: Envoy's `x-forwarded-client-cert`; the last element counts, which the proxy itself added
 * - `nginx`: `x-ssl-client-cert` with `$ssl_client_escaped_cert`, `x-ssl-client-verify` with
 *   `$ssl_client_verify`
 * - `haproxy`: `x-ssl-client-der` with `%[ssl_c_der,base64]`, `x-ssl-client-verify` with
 *   `%[ssl_c_verify]`
 */
export type ProxyFormat = "client-cert" | "xfcc" | "nginx" | "haproxy";

/** What a proxy's headers say: a certificate, that there is none, or something that cannot be trusted. */
export type ProxyWord = CallerCertificate | "none" | "unverified" | "malformed";

/** Never throws. */
export function readProxyHeaders(format: ProxyFormat, headers: IncomingHttpHeaders): ProxyWord {
  return readers[format](headers);
}

const readers: Readonly<Record<ProxyFormat, (headers: IncomingHttpHeaders) => ProxyWord>> = {
  "client-cert": (headers) => fromHeader(headers["client-cert"], readClientCert),
  xfcc: (headers) => fromForwarded(single(headers["x-forwarded-client-cert"])),
  nginx: (headers) =>
    verified(headers, "SUCCESS") ?? fromHeader(headers["x-ssl-client-cert"], readEscapedPem),
  haproxy: (headers) =>
    verified(headers, "0") ?? fromHeader(headers["x-ssl-client-der"], fromBase64),
};

/** The headers of each format. A value that the client itself sends under one of these names proves nothing. */
export const proxyHeaderNames: Readonly<Record<ProxyFormat, readonly string[]>> = {
  "client-cert": ["client-cert", "client-cert-chain"],
  xfcc: ["x-forwarded-client-cert"],
  nginx: ["x-ssl-client-cert", "x-ssl-client-verify"],
  haproxy: ["x-ssl-client-der", "x-ssl-client-verify"],
};

/** Null: the proxy says that it verified the certificate. */
function verified(headers: IncomingHttpHeaders, success: string): "none" | "unverified" | null {
  const word = single(headers["x-ssl-client-verify"]);
  if (word === success) return null;
  return word === undefined || word === "" || word === "NONE" ? "none" : "unverified";
}

function fromHeader(
  value: string | string[] | undefined,
  read: (value: string) => Parameters<typeof readCertificate>[0] | null,
): ProxyWord {
  const text = single(value);
  if (text === undefined || text === "") return "none";
  const certificate = read(text);
  return certificate === null ? "malformed" : readCertificate(certificate);
}

function fromForwarded(value: string | undefined): ProxyWord {
  if (value === undefined || value === "") return "none";
  const last = readForwardedClientCert(value)?.at(-1);
  if (last === undefined) return "malformed";
  if (last.cert !== null) {
    const certificate = readEscapedPem(last.cert);
    if (certificate === null) return "malformed";
    const facts = readCertificate(certificate);
    // If a hash is given too, it must be the certificate's.
    return last.hash === null || last.hash === facts.fingerprint ? facts : "malformed";
  }
  if (last.hash === null) return "none";
  return {
    subject: last.subject ?? "",
    issuer: "",
    serialNumber: "",
    fingerprint: last.hash,
    uris: last.uris,
    notBefore: null,
    notAfter: null,
  };
}

/** Node joins a header that came twice with a comma, which no format has at that place. */
function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}
