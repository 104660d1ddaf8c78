import { AsnConvert } from "@peculiar/asn1-schema";
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  CRLDistributionPoints,
  ExtendedKeyUsage,
  KeyUsage,
  KeyUsageFlags,
  NameConstraints,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_certificatePolicies,
  id_ce_cRLDistributionPoints,
  id_ce_extKeyUsage,
  id_ce_inhibitAnyPolicy,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_policyConstraints,
  id_ce_policyMappings,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  type Certificate,
  type Extension,
  type GeneralName,
} from "@peculiar/asn1-x509";
import { holdsIdentifiers, requireDer } from "./der.ts";

export interface Extensions {
  /** basicConstraints CA:TRUE. */
  readonly authority: boolean;
  /** Without a keyUsage everything is allowed. */
  readonly maySignCertificates: boolean;
  readonly maySignHandshakes: boolean;
  /** OIDs of its extended key usage. Null: it has none, and everything is allowed. */
  readonly usages: readonly string[] | null;
  /** Subject alternative names: `DNS:api.example.com`, `IP:10.0.0.1`, `URI:…`, `email:…`. */
  readonly names: readonly string[];
  /** OIDs of extensions that are critical and that TLS peers do not know: they have to refuse them. */
  readonly unknownCritical: readonly string[];
}

const known: ReadonlySet<string> = new Set([
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_certificatePolicies,
  id_ce_cRLDistributionPoints,
  id_ce_extKeyUsage,
  id_ce_inhibitAnyPolicy,
  id_ce_keyUsage,
  id_ce_nameConstraints,
  id_ce_policyConstraints,
  id_ce_policyMappings,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
]);

/** @throws Error if one is malformed or stands there twice */
export function readExtensions({ tbsCertificate }: Certificate): Extensions {
  const extensions = tbsCertificate.extensions ?? [];
  if (new Set(extensions.map(({ extnID }) => extnID)).size < extensions.length) {
    throw new Error("an extension stands there twice");
  }
  const usage = read(extensions, id_ce_keyUsage, KeyUsage)?.toNumber();
  if (usage !== undefined && !(usage > 0)) throw new Error("its keyUsage allows nothing");
  const constraints = read(extensions, id_ce_basicConstraints, BasicConstraints);
  if ((constraints?.pathLenConstraint ?? 0) < 0) throw new Error("a negative path length");
  const names = read(extensions, id_ce_subjectAltName, SubjectAlternativeName) ?? [];
  // Nothing is taken from the others, but TLS stacks parse them: a malformed one makes them refuse the certificate.
  read(extensions, id_ce_authorityKeyIdentifier, AuthorityKeyIdentifier);
  read(extensions, id_ce_cRLDistributionPoints, CRLDistributionPoints);
  read(extensions, id_ce_nameConstraints, NameConstraints);
  read(extensions, id_ce_subjectKeyIdentifier, SubjectKeyIdentifier);
  const usages = read(extensions, id_ce_extKeyUsage, ExtendedKeyUsage);
  // The parser passes over an item of another kind.
  if (usages && !holdsIdentifiers(valueOf(extensions, id_ce_extKeyUsage)!)) {
    throw new Error("its extendedKeyUsage holds something else than usages");
  }
  return {
    authority: constraints?.cA ?? false,
    maySignCertificates: usage === undefined || (usage & KeyUsageFlags.keyCertSign) !== 0,
    maySignHandshakes: usage === undefined || (usage & KeyUsageFlags.digitalSignature) !== 0,
    usages: usages && [...usages],
    names: [...names].flatMap(describeName),
    unknownCritical: extensions
      .filter(({ critical, extnID }) => critical && !known.has(extnID))
      .map(({ extnID }) => extnID),
  };
}

function read<T>(extensions: readonly Extension[], oid: string, structure: new () => T): T | null {
  const value = valueOf(extensions, oid);
  if (value === null) return null;
  requireDer(value);
  return AsnConvert.parse(value, structure);
}

function valueOf(extensions: readonly Extension[], oid: string): Uint8Array | null {
  const found = extensions.find(({ extnID }) => extnID === oid);
  return found === undefined ? null : new Uint8Array(found.extnValue.buffer);
}

/** Empty for names that say nothing about a host or a service. */
function describeName(name: GeneralName): readonly string[] {
  const { dNSName, iPAddress, uniformResourceIdentifier, rfc822Name } = name;
  if (dNSName !== undefined) return [`DNS:${dNSName}`];
  if (iPAddress !== undefined) return [`IP:${iPAddress}`];
  if (uniformResourceIdentifier !== undefined) return [`URI:${uniformResourceIdentifier}`];
  return rfc822Name === undefined ? [] : [`email:${rfc822Name}`];
}
