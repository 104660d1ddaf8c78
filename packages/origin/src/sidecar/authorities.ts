import { X509Certificate } from "node:crypto";
import { splitPem } from "../follow.ts";

/**
 * The CAs of a PEM file, as one text each.
 * @throws TypeError if it holds no certificate, or one that cannot be read
 */
export function parseAuthorities(pem: string): string[] {
  const authorities = splitPem(pem);
  if (authorities.length === 0) throw new TypeError("it holds no certificate");
  for (const one of authorities) {
    try {
      // Called only because it throws if the certificate cannot be read.
      void new X509Certificate(one).fingerprint256;
    } catch {
      throw new TypeError("it holds a certificate that cannot be read");
    }
  }
  return authorities;
}
