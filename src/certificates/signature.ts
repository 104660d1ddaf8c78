import type { X509Certificate } from "node:crypto";

interface Signature {
  /** cfssl's name, which Cloudflare's API shows. */
  readonly name: string;
  readonly broken?: true;
}

/** By the algorithm's OID. */
const signatures: Readonly<Record<string, Signature>> = {
  "1.2.840.113549.1.1.4": { name: "MD5WithRSA", broken: true },
  "1.2.840.113549.1.1.5": { name: "SHA1WithRSA", broken: true },
  "1.2.840.113549.1.1.11": { name: "SHA256WithRSA" },
  "1.2.840.113549.1.1.12": { name: "SHA384WithRSA" },
  "1.2.840.113549.1.1.13": { name: "SHA512WithRSA" },
  "1.2.840.10045.4.1": { name: "ECDSAWithSHA1", broken: true },
  "1.2.840.10045.4.3.2": { name: "ECDSAWithSHA256" },
  "1.2.840.10045.4.3.3": { name: "ECDSAWithSHA384" },
  "1.2.840.10045.4.3.4": { name: "ECDSAWithSHA512" },
  "1.3.101.112": { name: "Ed25519" },
};

/** `SHA256WithRSA`, `ECDSAWithSHA256`, `Ed25519`; OpenSSL's name where cfssl has none. */
export function signatureName(x509: X509Certificate): string {
  return signatureOf(x509)?.name ?? x509.signatureAlgorithm ?? "unknown";
}

export function isBrokenSignature(x509: X509Certificate): boolean {
  return signatureOf(x509)?.broken ?? false;
}

function signatureOf(x509: X509Certificate): Signature | undefined {
  return signatures[x509.signatureAlgorithmOid ?? ""];
}
