import * as x509 from "../certificates/x509.ts";
import {
  BACKDATED,
  makeKeys,
  nameOf,
  newSerial,
  pemOf,
  pemOfKey,
  SIGNING,
  type SigningAuthority,
} from "./authority.ts";
import { issuePull, type Issued } from "./issue.ts";

const DAY = 86_400_000;
/** Each CA of this kind has a unique name, so that it can be told from its successor. */
const NAME = "Countersign origin pulls";

/** Makes a CA of this installation, valid for ten years, that issues only client certificates. */
export async function makePullAuthority(
  now: Date,
): Promise<SigningAuthority & { readonly notAfter: Date }> {
  const keys = await makeKeys();
  const serialNumber = newSerial();
  const notAfter = new Date(now.getTime() + 3650 * DAY);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber,
    name: nameOf(`${NAME} ${serialNumber.slice(-6)}`, "Countersign"),
    notBefore: new Date(now.getTime() - BACKDATED),
    notAfter,
    signingAlgorithm: SIGNING,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.2"]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { chain: pemOf(certificate), key: await pemOfKey(keys), notAfter };
}

export interface PullCertificate extends Issued {
  /** PKCS #8, PEM. */
  readonly key: string;
  readonly issuer: string;
}

/** Issues the certificate that origins of one account are shown: `CN=Countersign origin pulls,O={account}`. */
export async function issuePullCertificate(
  authority: SigningAuthority,
  { account, now, days }: { readonly account: string; readonly now: Date; readonly days: number },
): Promise<PullCertificate> {
  const keys = await makeKeys();
  const publicKey = await x509.PublicKey.create(keys.publicKey);
  const issued = await issuePull(authority, publicKey, { name: NAME, account, now, days });
  const issuer = new x509.X509Certificate(authority.chain).subject;
  return { ...issued, key: await pemOfKey(keys), issuer };
}
