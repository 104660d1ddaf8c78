import { createPrivateKey, X509Certificate } from "node:crypto";
import * as x509 from "../certificates/x509.ts";
import { Failure } from "../failures/failures.ts";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const CRL = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/;

/** A certificate that the root has signed elsewhere. */
export interface SignedElsewhere {
  /** The intermediate first, without the root, PEM. */
  readonly chain: string;
  /** The root's revocation list, PEM. Null: none was given. */
  readonly rootCrl: string | null;
}

/**
 * Reads one CA certificate that may be the root of the account's identities.
 * @returns it, PEM
 * @throws Failure `identity_chain_invalid`
 */
export function readRoot(text: string, now: Date): string {
  const pems = text.match(CERTIFICATE) ?? [];
  if (pems.length !== 1) throw invalid("a root is one certificate in PEM");
  const root = certificate(pems[0]);
  if (!root.ca) throw invalid("the root is no CA");
  checkDates(root, now);
  return root.toString();
}

/**
 * Reads the intermediate that was signed elsewhere, with the certificates between it and the root.
 * @param row the request's key, and the root that the chain has to lead to
 * @throws Failure `identity_chain_invalid`
 */
export function readSigned(
  text: string,
  { root, key }: { readonly root: string; readonly key: string },
  now: Date,
): SignedElsewhere {
  const anchor = certificate(root);
  const chain = (text.match(CERTIFICATE) ?? [])
    .map(certificate)
    .filter(({ fingerprint256 }) => fingerprint256 !== anchor.fingerprint256);
  const [first] = chain;
  if (first === undefined) throw invalid("there is no certificate in it");
  if (chain.length > 5) throw invalid("the chain has more than five certificates");
  if (!first.checkPrivateKey(createPrivateKey(key))) {
    throw invalid("the first certificate is not for the key of the request");
  }
  for (const [index, one] of chain.entries()) {
    const issuer = chain[index + 1] ?? anchor;
    if (!one.ca) throw invalid(`"${one.subject}" is no CA`);
    if (!one.checkIssued(issuer) || !one.verify(issuer.publicKey)) {
      throw invalid(`"${one.subject}" was not signed by "${issuer.subject}"`);
    }
    checkDates(one, now);
  }
  const usage = new x509.X509Certificate(first.raw).getExtension(x509.KeyUsagesExtension);
  if (usage && !(usage.usages & x509.KeyUsageFlags.keyCertSign)) {
    throw invalid("the intermediate may not sign certificates");
  }
  const crl = CRL.exec(text)?.[0];
  return {
    chain: chain.map((one) => one.toString()).join(""),
    rootCrl: crl === undefined ? null : `${crl}\n`,
  };
}

function certificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new Failure("identity_chain_invalid", { message: "a certificate cannot be read", cause });
  }
}

function checkDates({ subject, validFromDate, validToDate }: X509Certificate, now: Date): void {
  if (validFromDate <= now && now <= validToDate) return;
  throw invalid(`"${subject}" is not valid now`);
}

function invalid(message: string): Failure {
  return new Failure("identity_chain_invalid", { message: message.replaceAll("\n", ",") });
}
