import { createPrivateKey, X509Certificate } from "node:crypto";
import { presentedKeyPlace } from "../keys/places.ts";
import type { Keyring, Sealed } from "../keys/seal.ts";
import type { CertificateVersion } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import { showCertificate, validityOf } from "./shown.ts";

/** One version of a certificate that this gateway can present. Its key stays sealed until it is used. */
export interface Credential {
  readonly accountId: string;
  readonly certificateId: string;
  readonly version: number;
  /** Leaf first, PEM. */
  readonly chain: string;
  readonly sealedKey: Sealed;
  readonly sealedId: string;
  /** `CN=client,O=Acme` */
  readonly subject: string;
  /** SHA-256 over the leaf's DER, lower case hex. */
  readonly fingerprint: string;
  /** Unix time in ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly allowedHosts: readonly string[] | null;
  /** CAs that replace the account's trust and the public roots. Null: these. */
  readonly trust: readonly string[] | null;
}

/** @throws Failure `certificate_unusable` if its chain, or a CA of its trust, does not parse */
export function readCredential(certificate: CertificateVersion): Credential {
  const { name: _, revokedOn: __, ...rest } = certificate;
  const presented = parse(certificate, "its chain", () =>
    presentedFacts(new X509Certificate(certificate.chain)),
  );
  for (const authority of certificate.trust ?? []) {
    parse(certificate, "a CA of its trust", () => new X509Certificate(authority));
  }
  return { ...rest, ...presented };
}

/**
 * What the gateway reads from a leaf that it is to present. An upload is read with it too, so that
 * what was accepted can be used.
 * @throws Error
 */
export function presentedFacts(
  leaf: X509Certificate,
): Pick<Credential, "subject" | "fingerprint" | "notBefore" | "notAfter"> {
  const validity = validityOf(leaf);
  const [notBefore, notAfter] = [validity.notBefore.getTime(), validity.notAfter.getTime()];
  if (Number.isNaN(notBefore) || Number.isNaN(notAfter))
    throw new Error("its dates are unreadable");
  const { subject, fingerprint } = showCertificate(leaf);
  return { subject, fingerprint, notBefore, notAfter };
}

/**
 * The key in clear, PEM: for a TLS context, and for nothing else. It never goes into a message, a
 * log or an error.
 * @throws Failure `master_key_wrong` or `sealed_record_damaged`
 */
export function openKey(credential: Credential, keyring: Keyring): string {
  return keyring.unseal(presentedKeyPlace(credential), credential.sealedKey);
}

/** @throws Failure `certificate_unusable` if key and certificate do not belong together; as `openKey` */
export function checkKey(credential: Credential, keyring: Keyring): void {
  const key = openKey(credential, keyring);
  const leaf = new X509Certificate(credential.chain);
  const matches = parse(credential, "its key", () => leaf.checkPrivateKey(createPrivateKey(key)));
  if (!matches) throw unusable(credential, "its key belongs to another certificate", undefined);
}

/** Null while the certificate is valid. Judged again for each connection: clocks move. */
export function validityFailure(credential: Credential, now: number): Failure | null {
  const { certificateId, version, notBefore, notAfter } = credential;
  const subject = credential.subject || "no subject";
  const facts = { certificateId, version, notBefore: iso(notBefore), notAfter: iso(notAfter) };
  if (now >= notAfter) {
    return new Failure("certificate_expired", {
      message: `version ${version} of certificate ${certificateId} (${subject}) expired at ${iso(notAfter)}`,
      facts,
    });
  }
  if (now < notBefore) {
    return new Failure("certificate_not_yet_valid", {
      message: `version ${version} of certificate ${certificateId} (${subject}) is valid from ${iso(notBefore)} on`,
      facts,
    });
  }
  return null;
}

export function iso(time: number): string {
  return new Date(time).toISOString().replace(".000", "");
}

type Named = Pick<Credential, "certificateId" | "version">;

function parse<T>(certificate: Named, what: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw unusable(certificate, `${what} does not parse`, cause);
  }
}

function unusable({ certificateId, version }: Named, why: string, cause: unknown): Failure {
  return new Failure("certificate_unusable", {
    message: `version ${version} of certificate ${certificateId} cannot be used: ${why}`,
    facts: { certificateId, version },
    cause,
  });
}
