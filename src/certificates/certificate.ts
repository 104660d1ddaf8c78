import { AsnConvert } from "@peculiar/asn1-schema";
import { Certificate as CertificateStructure } from "@peculiar/asn1-x509";
import { X509Certificate, type KeyObject } from "node:crypto";
import { Failure } from "../failures/failures.ts";
import { requireDer } from "./der.ts";
import { readExtensions, type Extensions } from "./extensions.ts";
import { reversedName } from "./names.ts";
import { validityOf } from "./shown.ts";
import { describeField, type PemBlock } from "./pem.ts";

/** One X.509 certificate, read. */
export interface Certificate extends Extensions {
  readonly x509: X509Certificate;
  readonly publicKey: KeyObject;
  /** 1 or 3. Version 1 has no extensions, so it does not say its purpose. */
  readonly version: number;
  /** RFC 2253: `CN=client,O=Acme`. */
  readonly subject: string;
  /** For messages: `certificate 2 (CN=Issuing CA)`. */
  readonly label: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * @param ordinal the place among the certificates of the upload, from 1
 * @throws Failure `certificate_malformed`, `certificate_version_unsupported`,
 * `critical_extension_unsupported` or `key_algorithm_unsupported`
 */
export function readCertificate(block: PemBlock, ordinal: number): Certificate {
  const facts = { field: block.field, line: block.line };
  const { x509, version, extensions } = decode(block, ordinal);
  const subject = reversedName(x509.subject);
  const label = labelOf(subject, ordinal);
  if (version !== 3 && version !== 1) {
    throw new Failure("certificate_version_unsupported", {
      message: `${label} is X.509 version ${version} where version 3 is needed`,
      facts: { ...facts, version },
    });
  }
  const [critical] = extensions.unknownCritical;
  if (critical !== undefined) {
    throw new Failure("critical_extension_unsupported", {
      message: `${label} has the critical extension ${critical}, which TLS peers do not know`,
      facts: { ...facts, extension: critical },
    });
  }
  return {
    ...extensions,
    x509,
    publicKey: readPublicKey(x509, label),
    version,
    subject,
    label,
    ...validityOf(x509),
  };
}

/** The certificate with another place among those it is told with. */
export function numbered(certificate: Certificate, ordinal: number): Certificate {
  return { ...certificate, label: labelOf(certificate.subject, ordinal) };
}

function labelOf(subject: string, ordinal: number): string {
  return `certificate ${ordinal} (${subject || "no subject"})`;
}

interface Decoded {
  readonly x509: X509Certificate;
  readonly version: number;
  readonly extensions: Extensions;
}

/** OpenSSL reads it for use; its structure says what Node does not tell: version, extensions. */
function decode({ der, field, line }: PemBlock, ordinal: number): Decoded {
  try {
    requireDer(der);
    const x509 = new X509Certificate(der);
    if (!x509.raw.equals(der)) throw new Error("not DER");
    const { notBefore, notAfter } = validityOf(x509);
    if (!(notBefore <= notAfter)) throw new Error("it ends before it begins");
    const structure = AsnConvert.parse(der, CertificateStructure);
    if (!structure.signatureAlgorithm.isEqual(structure.tbsCertificate.signature)) {
      throw new Error("it names two signature algorithms");
    }
    const version = structure.tbsCertificate.version + 1;
    return { x509, version, extensions: readExtensions(structure) };
  } catch (cause) {
    throw new Failure("certificate_malformed", {
      message: `certificate ${ordinal} in ${describeField(field)}, line ${line}, is not a well-formed X.509 certificate`,
      cause,
      facts: { field, line },
    });
  }
}

function readPublicKey(x509: X509Certificate, label: string): KeyObject {
  try {
    return x509.publicKey;
  } catch (cause) {
    throw new Failure("key_algorithm_unsupported", {
      message: `${label} has a public key that OpenSSL cannot read`,
      cause,
    });
  }
}
