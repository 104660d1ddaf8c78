import { AsnConvert } from "@peculiar/asn1-schema";
import {
  BasicConstraints,
  Certificate as CertificateStructure,
  KeyUsage,
  KeyUsageFlags,
  id_ce_basicConstraints,
  id_ce_keyUsage,
} from "@peculiar/asn1-x509";
import { X509Certificate, type KeyObject } from "node:crypto";
import { Failure } from "../failures.ts";
import { describeField, type PemBlock } from "./pem.ts";
import { reversedName } from "./names.ts";

/** One X.509 v3 certificate, read. */
export interface Certificate {
  readonly x509: X509Certificate;
  readonly publicKey: KeyObject;
  /** RFC 2253: `CN=client,O=Acme`. */
  readonly subject: string;
  /** For messages: `certificate 2 (CN=Issuing CA)`. */
  readonly label: string;
  /** basicConstraints CA:TRUE. */
  readonly authority: boolean;
  /** Absent keyUsage allows everything. */
  readonly maySignCertificates: boolean;
  readonly maySignHandshakes: boolean;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/**
 * @param ordinal the place among the certificates of the upload, from 1
 * @throws Failure `certificate_malformed`, `certificate_version_unsupported` or
 * `key_algorithm_unsupported`
 */
export function readCertificate(block: PemBlock, ordinal: number): Certificate {
  const place = `certificate ${ordinal} in ${describeField(block.field)}, line ${block.line},`;
  const facts = { field: block.field, line: block.line };
  const { x509, structure } = decode(block.der, place, facts);
  const subject = reversedName(x509.subject);
  const label = `certificate ${ordinal} (${subject || "no subject"})`;
  const version = structure.tbsCertificate.version + 1;
  if (version !== 3) {
    throw new Failure("certificate_version_unsupported", {
      message: `${label} is X.509 version ${version} where version 3 is needed`,
      facts: { ...facts, version },
    });
  }
  const usage = keyUsage(structure);
  return {
    x509,
    publicKey: publicKey(x509, label, facts),
    subject,
    label,
    authority: isAuthority(structure),
    maySignCertificates: usage === null || (usage & KeyUsageFlags.keyCertSign) !== 0,
    maySignHandshakes: usage === null || (usage & KeyUsageFlags.digitalSignature) !== 0,
    notBefore: x509.validFromDate,
    notAfter: x509.validToDate,
  };
}

type Facts = Readonly<Record<string, unknown>>;

/** OpenSSL reads it for use; the structure says what Node does not tell: the version, keyUsage. */
function decode(
  der: Buffer,
  place: string,
  facts: Facts,
): { x509: X509Certificate; structure: CertificateStructure } {
  try {
    const x509 = new X509Certificate(der);
    const structure = AsnConvert.parse(der, CertificateStructure);
    // OpenSSL reads the first value and passes over what follows it.
    if (!x509.raw.equals(der)) throw new Error("trailing bytes, or not DER");
    const { validFromDate, validToDate } = x509;
    if (!(validFromDate.getTime() <= validToDate.getTime())) throw new Error("impossible dates");
    isAuthority(structure);
    keyUsage(structure);
    return { x509, structure };
  } catch (cause) {
    throw new Failure("certificate_malformed", {
      message: `${place} is not a well-formed X.509 certificate`,
      cause,
      facts,
    });
  }
}

function isAuthority(structure: CertificateStructure): boolean {
  const value = extension(structure, id_ce_basicConstraints);
  return value !== null && AsnConvert.parse(value, BasicConstraints).cA;
}

function keyUsage(structure: CertificateStructure): number | null {
  const value = extension(structure, id_ce_keyUsage);
  return value === null ? null : AsnConvert.parse(value, KeyUsage).toNumber();
}

function extension(structure: CertificateStructure, oid: string): ArrayBuffer | null {
  const found = structure.tbsCertificate.extensions?.find(({ extnID }) => extnID === oid);
  return found?.extnValue.buffer ?? null;
}

function publicKey(x509: X509Certificate, label: string, facts: Facts): KeyObject {
  try {
    return x509.publicKey;
  } catch (cause) {
    throw new Failure("key_algorithm_unsupported", {
      message: `${label} has a public key that OpenSSL cannot read`,
      cause,
      facts,
    });
  }
}
