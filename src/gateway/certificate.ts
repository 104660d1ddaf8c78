import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Keyring } from "../certificates/seal.ts";
import type { EdgeCertificate } from "../edge/source.ts";
import { Failure } from "../failures.ts";

/** One version of a certificate that this gateway can present: parsed, and its key unsealed. */
export interface Credential {
  readonly accountId: string;
  readonly certificateId: string;
  readonly version: number;
  /** Leaf first, PEM. */
  readonly chain: string;
  /** PEM. In clear in this process only: it never goes into a message, a log or an error. */
  readonly key: string;
  readonly leaf: X509Certificate;
  /** SHA-256 over the leaf's DER, lower case hex. */
  readonly fingerprint: string;
  /** Unix time in ms. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly allowedHosts: readonly string[] | null;
  /** CAs that replace the account's trust and the public roots. Null: these. */
  readonly trust: readonly string[] | null;
}

/**
 * @throws Failure `certificate_unusable` if the chain or key does not parse or match,
 * `master_key_wrong` or `sealed_record_damaged` if the key does not open
 */
export function openCertificate(certificate: EdgeCertificate, keyring: Keyring): Credential {
  const { accountId, certificateId, version, chain, allowedHosts, trust } = certificate;
  const key = keyring.unseal(
    { account: accountId, id: certificate.sealedId, kind: "certificate-key" },
    certificate.sealedKey,
  );
  const leaf = parse(certificate, "its chain", () => new X509Certificate(chain));
  const matches = parse(certificate, "its key", () => leaf.checkPrivateKey(createPrivateKey(key)));
  if (!matches) {
    throw unusable(certificate, "its key belongs to another certificate", undefined);
  }
  for (const authority of trust ?? []) {
    parse(certificate, "a CA of its trust", () => new X509Certificate(authority));
  }
  return {
    accountId,
    certificateId,
    version,
    chain,
    key,
    leaf,
    fingerprint: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
    allowedHosts,
    trust,
  };
}

/** Null while the certificate is valid. Judged anew for each connection: clocks move. */
export function validityFailure(credential: Credential, now: number): Failure | null {
  const { certificateId, version, leaf, notBefore, notAfter } = credential;
  const facts = { certificateId, version, notBefore: iso(notBefore), notAfter: iso(notAfter) };
  if (now >= notAfter) {
    return new Failure("certificate_expired", {
      message: `version ${version} of certificate ${certificateId} (${oneLine(leaf.subject)}) expired at ${iso(notAfter)}`,
      facts,
    });
  }
  if (now < notBefore) {
    return new Failure("certificate_not_yet_valid", {
      message: `version ${version} of certificate ${certificateId} (${oneLine(leaf.subject)}) is valid from ${iso(notBefore)} on`,
      facts,
    });
  }
  return null;
}

/** Does `host` match a list like `["api.example.com", "*.example.net"]`? `*.` is any host below. */
export function matchesHost(patterns: readonly string[], host: string): boolean {
  return patterns.some((pattern) =>
    pattern.startsWith("*.")
      ? host.endsWith(pattern.slice(1).toLowerCase()) && host.length >= pattern.length
      : pattern.toLowerCase() === host,
  );
}

export function iso(time: number): string {
  return new Date(time).toISOString().replace(".000", "");
}

/** Node writes a DN with a line for each part. */
export function oneLine(name: string): string {
  return name.replaceAll("\n", ",");
}

function parse<T>(certificate: EdgeCertificate, what: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    throw unusable(certificate, `${what} does not parse`, cause);
  }
}

function unusable(certificate: EdgeCertificate, why: string, cause: unknown): Failure {
  const { certificateId, version } = certificate;
  return new Failure("certificate_unusable", {
    message: `version ${version} of certificate ${certificateId} cannot be used: ${why}`,
    facts: { certificateId, version },
    cause,
  });
}
