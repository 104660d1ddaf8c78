import { createHash, type KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import { describeKey, spkiOf } from "./key-kinds.ts";
import { reversedName } from "./names.ts";
import { signatureName } from "./signature.ts";
import type { CertificateFacts } from "./certificate-upload.ts";

/** @param certificates in stored order; the facts are the first one's */
export function factsOf(certificates: readonly [Certificate, ...Certificate[]]): CertificateFacts {
  const [{ x509, subject, publicKey, names, notBefore, notAfter }] = certificates;
  return {
    subject,
    issuer: reversedName(x509.issuer),
    serialNumber: decimal(x509.serialNumber),
    signature: signatureName(x509),
    notBefore,
    notAfter,
    fingerprint: sha256(x509.raw),
    contentHash: sha256(...certificates.map((certificate) => certificate.x509.raw)),
    names,
    key: describeKey(publicKey),
    publicKeyHash: publicKeyHash(publicKey),
  };
}

/** SHA-256 over the subjectPublicKeyInfo, 64 lower case hex digits: names a key without showing it. */
export function publicKeyHash(publicKey: KeyObject): string {
  return sha256(spkiOf(publicKey));
}

function sha256(...parts: readonly Buffer[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function decimal(hex: string): string {
  const negative = hex.startsWith("-");
  return `${negative ? "-" : ""}${BigInt(`0x${negative ? hex.slice(1) : hex}`)}`;
}
