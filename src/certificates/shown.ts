import type { X509Certificate } from "node:crypto";
import { reversedName } from "./names.ts";

/** A certificate as it is shown to people and programs. Anybody may have made it. */
export interface ShownCertificate {
  /** `CN=client,O=Acme`. Empty: it names no subject. */
  readonly subject: string;
  readonly issuer: string;
  /** `DNS:api.example.com`, `IP Address:10.0.0.1`, `URI:spiffe://…`. */
  readonly names: readonly string[];
  /** Hex. */
  readonly serialNumber: string;
  /** ISO 8601, or `unreadable`. */
  readonly notBefore: string;
  readonly notAfter: string;
  /** SHA-256, 64 lower case hex digits. */
  readonly fingerprint: string;
}

/**
 * Never throws, whatever the certificate holds: it may be of a server that is not verified yet.
 * Node's types promise more than OpenSSL gives: an empty name is undefined, a date may be none.
 */
export function showCertificate(x509: X509Certificate): ShownCertificate {
  return {
    subject: field(() => reversedName(x509.subject)),
    issuer: field(() => reversedName(x509.issuer)),
    names: namesOf(x509),
    serialNumber: field(() => x509.serialNumber),
    notBefore: field(() => validityOf(x509).notBefore.toISOString()) || UNREADABLE,
    notAfter: field(() => validityOf(x509).notAfter.toISOString()) || UNREADABLE,
    fingerprint: field(() => x509.fingerprint256.replaceAll(":", "").toLowerCase()),
  };
}

/** The name of the certificate, for use in a sentence. */
export function calledBy({ subject, names }: Pick<ShownCertificate, "subject" | "names">): string {
  return subject || names.join(", ") || "no subject";
}

/** An invalid Date for one that cannot be read: Node makes a date of uninitialised memory. */
export function validityOf(x509: X509Certificate): {
  readonly notBefore: Date;
  readonly notAfter: Date;
} {
  return {
    notBefore: isReadable(x509.validFrom) ? x509.validFromDate : new Date(Number.NaN),
    notAfter: isReadable(x509.validTo) ? x509.validToDate : new Date(Number.NaN),
  };
}

/** `Bad time value` is not. */
function isReadable(text: string): boolean {
  return !Number.isNaN(Date.parse(text));
}

/** Node does not tell the version. In DER, the first field of a later one is tagged. */
export function isVersion1({ raw }: X509Certificate): boolean {
  const header = (at: number): number => {
    const length = raw[at + 1] ?? 0;
    return length < 0x80 ? 2 : 2 + (length & 0x7f);
  };
  const certificate = header(0);
  return raw[certificate + header(certificate)] !== 0xa0;
}

const UNREADABLE = "unreadable";
/** Characters of one name, and names: a certificate may hold 100 KB of them. */
const LONGEST = 500;
const MOST = 100;

function field(read: () => string | undefined): string {
  return (tryRead(read) ?? "").slice(0, LONGEST);
}

function namesOf(x509: X509Certificate): readonly string[] {
  return tryRead(() => splitNames(x509.subjectAltName ?? "")) ?? [];
}

/** Node joins with commas, and quotes a name that has one. */
function splitNames(text: string): readonly string[] {
  const names: string[] = [];
  for (const [name] of text.matchAll(/(?:"(?:[^"\\]|\\.)*"|[^",]|")+/g)) {
    if (names.length === MOST) break;
    names.push(name.trim().slice(0, LONGEST));
  }
  return names;
}

/** What a reader of others' bytes gives. Undefined: it threw. */
export function tryRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
