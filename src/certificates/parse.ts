import { Failure } from "../failures/failures.ts";
import { numbered, readCertificate, type Certificate } from "./certificate.ts";
import { isComplete, sortChain } from "./chain.ts";
import { factsOf } from "./facts.ts";
import { isSameKey } from "./key-kinds.ts";
import { findLeaf } from "./match.ts";
import { readMaterial, type Material } from "./material.ts";
import { describeField, type PemBlock } from "./pem.ts";
import { readPrivateKey, type PrivateKey } from "./private-key.ts";
import {
  admitAnchor,
  judgeDates,
  refuseUnlessAuthority,
  refuseUnusable,
  refuseWeak,
  warnOfUsage,
} from "./rules.ts";
import type {
  CertificateUpload,
  ParsedAuthority,
  ParsedLeaf,
  ParsedUpload,
  UploadWarning,
} from "./certificate-upload.ts";

const CHAIN_MAXIMUM = 10;

/**
 * Everything that is asked of a certificate, asked once, before it is stored.
 * @throws Failure of src/failures/certificates.ts. Nothing else, whatever the text is.
 */
export function parseUpload(upload: CertificateUpload): ParsedUpload {
  const material = readMaterial(upload);
  return upload.ca ? parseAuthority(material, upload) : parseLeaf(material, upload);
}

function parseLeaf(material: Material, upload: CertificateUpload): ParsedLeaf {
  refuseLong(material);
  const key = onlyKey(material, upload);
  const certificates = readCertificates(material);
  const leaf = findLeaf(certificates, key);
  const chain = sortChain(leaf, certificates);
  chain.forEach(refuseWeak);
  chain.slice(1).forEach(refuseUnlessAuthority);
  const dates = chain.flatMap((certificate) => judgeDates(certificate, upload));
  const pem = toPem(chain);
  const privateKey = key.key.export({ format: "pem", type: "pkcs8" });
  refuseUnusable(leaf, pem, privateKey);
  return {
    kind: "leaf",
    chain: pem,
    privateKey,
    facts: factsOf(chain),
    warnings: [...warnOfEnd(chain, upload), ...warnOfUsage(chain), ...dates],
    standing: warnOfUsage(asStored(chain)),
  };
}

type Chain = readonly [Certificate, ...Certificate[]];

/** Told by their places in the stored chain, not in what was uploaded. */
function asStored([leaf, ...issuers]: Chain): Chain {
  return [numbered(leaf, 1), ...issuers.map((issuer, index) => numbered(issuer, index + 2))];
}

function parseAuthority(material: Material, upload: CertificateUpload): ParsedAuthority {
  const certificates = readCertificates(material);
  const anchors = certificates.flatMap(admitAnchor);
  certificates.forEach(refuseWeak);
  return {
    kind: "ca",
    bundle: toPem(certificates),
    facts: factsOf(certificates),
    warnings: [
      ...warnOfKey(material),
      ...anchors,
      ...certificates.flatMap((certificate) => judgeDates(certificate, upload)),
    ],
    standing: anchors,
  };
}

/** Terraform's own example sends one. It is not stored: a CA verifies others, which takes no key. */
function warnOfKey({ keys: [key] }: Material): readonly UploadWarning[] {
  if (key === undefined) return [];
  return [
    {
      code: "private_key_dropped",
      message: `${describeField(key.field)}, line ${key.line}, holds a private key, which was not stored: a CA is there to verify others, and its key must not leave it`,
    },
  ];
}

function refuseLong({ certificates }: Material): void {
  if (certificates.length <= CHAIN_MAXIMUM) return;
  throw new Failure("chain_too_long", {
    message: `${describeField("certificates")} holds ${certificates.length} certificates where ${CHAIN_MAXIMUM} are allowed`,
    facts: { count: certificates.length, maximum: CHAIN_MAXIMUM },
  });
}

function onlyKey({ keys }: Material, { privateKey }: CertificateUpload): PrivateKey {
  const [first, ...others] = keys.map((block) => ({ block, ...readPrivateKey(block) }));
  if (first === undefined) {
    const where = privateKey?.trim()
      ? `${describeField("private_key")} holds a certificate but no private key`
      : "neither file holds a private key";
    throw new Failure("private_key_missing", { message: where, facts: { field: "private_key" } });
  }
  const other = others.find(({ publicKey }) => !isSameKey(publicKey, first.publicKey));
  if (other !== undefined) {
    throw new Failure("private_key_ambiguous", {
      message: `the private key in ${place(first.block)} and the one in ${place(other.block)} differ`,
    });
  }
  return first;
}

function place({ field, line }: PemBlock): string {
  return `${describeField(field)}, line ${line},`;
}

function readCertificates({ certificates }: Material): readonly [Certificate, ...Certificate[]] {
  const read = certificates.map((block, index) => readCertificate(block, index + 1));
  return read as [Certificate, ...Certificate[]];
}

function warnOfEnd(chain: Chain, { authorities }: CertificateUpload): readonly UploadWarning[] {
  if (isComplete(chain, authorities)) return [];
  const last = chain.at(-1) ?? chain[0];
  return [
    {
      code: "chain_incomplete",
      message: `the chain ends at ${last.label}, whose issuer is neither in the file nor a CA of this account. If origins trust only a CA above it, add the intermediates to the file, leaf first`,
    },
  ];
}

function toPem(certificates: readonly Certificate[]): string {
  return certificates.map(({ x509 }) => x509.toString()).join("");
}
