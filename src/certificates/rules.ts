import { createSecureContext } from "node:tls";
import { Failure } from "../failures/failures.ts";
import { isSelfSigned } from "./chain.ts";
import type { Certificate } from "./certificate.ts";
import { presentedFacts } from "./credential.ts";
import { describeDuration, describeExpiry, expiryThreshold } from "./expiry.ts";
import { admitKey } from "./key-kinds.ts";
import { isBrokenSignature } from "./signature.ts";
import type { UploadWarning } from "./certificate-upload.ts";

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";

/** @throws Failure `key_…_unsupported` or `signature_too_weak` */
export function refuseWeak(certificate: Certificate): void {
  admitKey(certificate.publicKey, certificate.label);
  // Nobody verifies the signature of a root: it is trusted for what it is.
  if (isBrokenSignature(certificate.x509) && !isSelfSigned(certificate)) {
    throw new Failure("signature_too_weak", {
      message: `${certificate.label} is signed with ${certificate.x509.signatureAlgorithm}`,
      facts: { subject: certificate.subject },
    });
  }
}

/** @throws Failure `authority_not_ca` or `certificate_version_unsupported` */
export function refuseUnlessAuthority(certificate: Certificate): void {
  const { authority, maySignCertificates, label, subject, version } = certificate;
  if (version !== 3) {
    throw new Failure("certificate_version_unsupported", {
      message: `${label} is X.509 version ${version} where a CA needs version 3`,
      facts: { subject, version },
    });
  }
  if (authority && maySignCertificates) return;
  throw new Failure("authority_not_ca", {
    message: `${label} is not a CA: ${whyNoAuthority(certificate)}`,
    facts: { subject },
  });
}

/**
 * Certificates that can be trusted: a CA, and an origin's self-signed certificate. The latter is
 * then trusted itself, but nothing that its key signs. TLS treats it in the same way.
 * @throws as `refuseUnlessAuthority`
 */
export function admitAnchor(certificate: Certificate): readonly UploadWarning[] {
  const { authority, maySignCertificates, label, version } = certificate;
  if (version !== 3 || (authority && maySignCertificates) || !isSelfSigned(certificate)) {
    refuseUnlessAuthority(certificate);
    return [];
  }
  return [
    {
      code: "trusted_as_itself",
      message: `${label} is self-signed and no CA (${whyNoAuthority(certificate)}): an origin that presents this very certificate is trusted, and nothing that it issued. An in-process binding leaves such origins to the gateway`,
    },
  ];
}

function whyNoAuthority({ authority }: Certificate): string {
  return authority ? "its keyUsage lacks keyCertSign" : "its basicConstraints lack CA:TRUE";
}

/**
 * @returns warnings in place of failures where `allowExpired`, and for what ends soon
 * @throws Failure `upload_expired` or `upload_not_yet_valid`
 */
export function judgeDates(
  certificate: Certificate,
  { now, allowExpired = false }: { readonly now: Date; readonly allowExpired?: boolean },
): readonly UploadWarning[] {
  const { label, notBefore, notAfter, subject } = certificate;
  const facts = { subject, notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString() };
  if (now > notAfter) {
    const message = `${label} ${describeExpiry(notAfter, now)}, on ${notAfter.toISOString()}`;
    if (!allowExpired) throw new Failure("upload_expired", { message, facts });
    return [{ code: "expired", message }];
  }
  if (now < notBefore) {
    const wait = describeDuration(notBefore.getTime() - now.getTime());
    const message = `${label} is not valid for another ${wait}, until ${notBefore.toISOString()}`;
    if (!allowExpired) throw new Failure("upload_not_yet_valid", { message, facts });
    return [{ code: "not_yet_valid", message }];
  }
  if (expiryThreshold(notAfter, now) === null) return [];
  const message = `${label} ${describeExpiry(notAfter, now)}, on ${notAfter.toISOString()}`;
  return [{ code: "expires_soon", message }];
}

/** What makes origins refuse a certificate, though it is one. */
export function warnOfUsage(chain: readonly [Certificate, ...Certificate[]]): UploadWarning[] {
  const restricted = chain.find(({ usages }) => usages !== null && !usages.includes(CLIENT_AUTH));
  const [leaf] = chain;
  return [
    ...(leaf.version === 1
      ? [
          {
            code: "version_1" as const,
            message: `${leaf.label} is X.509 version 1, as \`openssl x509 -req\` without -extfile makes it: some origins refuse it, and an in-process binding leaves it to the gateway. Have it issued with extensions, among them extendedKeyUsage=clientAuth`,
          },
        ]
      : []),
    ...(leaf.authority
      ? [
          {
            code: "leaf_is_ca" as const,
            message: `${leaf.label} is a CA (CA:TRUE), as \`openssl req -x509\` makes it: anybody who has its key can issue certificates that those who trust it accept. Safer: \`openssl req -x509 -addext basicConstraints=critical,CA:FALSE\``,
          },
        ]
      : []),
    ...(restricted
      ? [
          {
            code: "client_auth_missing" as const,
            message: `the extended key usage of ${restricted.label} lacks clientAuth: most origins will refuse the certificate. Have it issued with extendedKeyUsage=clientAuth`,
          },
        ]
      : []),
    ...(leaf.maySignHandshakes
      ? []
      : [
          {
            code: "digital_signature_missing" as const,
            message: `the key usage of ${leaf.label} lacks digitalSignature: origins will refuse the certificate. Have it issued with keyUsage=digitalSignature`,
          },
        ]),
  ];
}

/**
 * Finally, the code that will present it has to accept it: OpenSSL, and the gateway's parser.
 * @throws Failure `upload_unusable`
 */
export function refuseUnusable(leaf: Certificate, chain: string, privateKey: string): void {
  try {
    createSecureContext({ cert: chain, key: privateKey });
    presentedFacts(leaf.x509);
  } catch (cause) {
    throw new Failure("upload_unusable", {
      message: `${leaf.label} cannot be used for TLS: ${(cause as Error).message}`,
      cause,
      facts: { subject: leaf.subject },
    });
  }
}
