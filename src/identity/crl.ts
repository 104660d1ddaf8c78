import * as asn1js from "asn1js";
import * as x509 from "../certificates/x509.ts";
import { importKey, SIGNING, type SigningAuthority } from "./authority.ts";

export interface RevokedEntry {
  /** Hexadecimal. */
  readonly serialNumber: string;
  readonly revokedOn: Date;
}

export interface CrlOptions {
  readonly revoked: readonly RevokedEntry[];
  /** Increases with each list. */
  readonly number: number;
  readonly now: Date;
  /** ms until the next list is due (`nextUpdate`). Default: 24 hours. */
  readonly lifetime?: number;
}

/**
 * The certificates that the intermediate has issued and revoked, as a CRL in PEM.
 * @see RFC 5280, section 5
 */
export async function makeCrl(
  authority: SigningAuthority,
  { revoked, number, now, lifetime = 24 * 3_600_000 }: CrlOptions,
): Promise<string> {
  const issuer = new x509.X509Certificate(authority.chain);
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName.toJSON(),
    thisUpdate: now,
    nextUpdate: new Date(now.getTime() + lifetime),
    signingAlgorithm: SIGNING,
    signingKey: await importKey(authority.key),
    entries: revoked.map(({ serialNumber, revokedOn }) => ({
      serialNumber,
      revocationDate: revokedOn,
    })),
    extensions: [
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
      new x509.Extension("2.5.29.20", false, new asn1js.Integer({ value: number }).toBER()),
    ],
  });
  // The library writes a PEM label that OpenSSL does not know.
  return `${crl.toString("pem").replaceAll(" CRL-", " X509 CRL-")}\n`;
}
