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
import { requireDer } from "./der.ts";

export interface Extensions {
  /** basicConstraints CA:TRUE. */
  readonly authority: boolean;
  /** Without a keyUsage everything is allowed. */
  readonly maySignCertificates: boolean;
  readonly maySignHandshakes: boolean;
  /** Subject alternative names: `DNS:api.example.com`, `IP:10.0.0.1`, `URI:…`, `email:…`. */
  readonly names: readonly string[];
  /** OIDs of extensions that are critical and that TLS peers do not know: they have to refuse them. */
  readonly unknownCritical: readonly string[];
}

/** What TLS stacks parse, so that a malformed one makes them refuse the certificate. */
const structures: Readonly<Record<string, new () => object>> = {
  [id_ce_authorityKeyIdentifier]: AuthorityKeyIdentifier,
  [id_ce_basicConstraints]: BasicConstraints,
  [id_ce_cRLDistributionPoints]: CRLDistributionPoints,
  [id_ce_extKeyUsage]: ExtendedKeyUsage,
  [id_ce_keyUsage]: KeyUsage,
  [id_ce_nameConstraints]: NameConstraints,
  [id_ce_subjectAltName]: SubjectAlternativeName,
  [id_ce_subjectKeyIdentifier]: SubjectKeyIdentifier,
};
const known: ReadonlySet<string> = new Set([
  ...Object.keys(structures),
  id_ce_certificatePolicies,
  id_ce_inhibitAnyPolicy,
  id_ce_policyConstraints,
  id_ce_policyMappings,
]);

/** @throws Error if one is malformed or stands there twice */
export function readExtensions({ tbsCertificate }: Certificate): Extensions {
  const extensions = tbsCertificate.extensions ?? [];
  if (new Set(extensions.map(({ extnID }) => extnID)).size < extensions.length) {
    throw new Error("an extension stands there twice");
  }
  for (const [oid, structure] of Object.entries(structures)) read(extensions, oid, structure);
  const usage = read(extensions, id_ce_keyUsage, KeyUsage)?.toNumber();
  if (usage !== undefined && !(usage > 0)) throw new Error("its keyUsage allows nothing");
  const constraints = read(extensions, id_ce_basicConstraints, BasicConstraints);
  if ((constraints?.pathLenConstraint ?? 0) < 0) throw new Error("a negative path length");
  return {
    authority: constraints?.cA ?? false,
    maySignCertificates: usage === undefined || (usage & KeyUsageFlags.keyCertSign) !== 0,
    maySignHandshakes: usage === undefined || (usage & KeyUsageFlags.digitalSignature) !== 0,
    names: [...(read(extensions, id_ce_subjectAltName, SubjectAlternativeName) ?? [])].flatMap(
      describeName,
    ),
    unknownCritical: extensions
      .filter(({ critical, extnID }) => critical && !known.has(extnID))
      .map(({ extnID }) => extnID),
  };
}

function read<T>(extensions: readonly Extension[], oid: string, structure: new () => T): T | null {
  const value = extensions.find(({ extnID }) => extnID === oid)?.extnValue.buffer;
  if (value === undefined) return null;
  requireDer(value);
  return AsnConvert.parse(value, structure);
}

/** Empty for names that say nothing about a host or a service. */
function describeName(name: GeneralName): readonly string[] {
  const { dNSName, iPAddress, uniformResourceIdentifier, rfc822Name } = name;
  if (dNSName !== undefined) return [`DNS:${dNSName}`];
  if (iPAddress !== undefined) return [`IP:${iPAddress}`];
  if (uniformResourceIdentifier !== undefined) return [`URI:${uniformResourceIdentifier}`];
  return rfc822Name === undefined ? [] : [`email:${rfc822Name}`];
}
