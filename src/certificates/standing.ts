import { readCertificate, type Certificate } from "./certificate.ts";
import { splitPem } from "./pem.ts";
import { admitAnchor, warnOfUsage } from "./rules.ts";

/**
 * What an upload was warned of that stays so for as long as the certificate is there, in sentences.
 * Never throws: what was stored by an older version may be read otherwise today.
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
