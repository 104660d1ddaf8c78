import { readCertificate, type Certificate } from "./certificate.ts";
import { splitPem } from "./pem.ts";
import { admitAnchor, warnOfUsage } from "./rules.ts";

/**
 * Warnings of an upload that stay true while the certificate is stored, in sentences. Never throws:
 * a certificate that an older version stored may parse differently today.
 * @param chain leaf first, PEM; of a CA, the bundle
 */
export function standingWarnings(chain: string, isAuthority: boolean): readonly string[] {
  try {
    const blocks = splitPem(chain, "certificates");
    const certificates = blocks.map((block, index) => readCertificate(block, index + 1));
    const warnings = isAuthority
      ? certificates.flatMap(admitAnchor)
      : warnOfUsage(certificates as [Certificate, ...Certificate[]]);
    return warnings.map(({ message }) => message);
  } catch {
    return [];
  }
}
