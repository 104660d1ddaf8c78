import { Failure } from "../failures/failures.ts";
import type { Certificate } from "./certificate.ts";
import { publicKeyHash } from "./facts.ts";
import { isSameKey } from "./key-kinds.ts";
import type { PrivateKey } from "./private-key.ts";

/**
 * The certificate that the key belongs to, which is the leaf.
 * @throws Failure `private_key_mismatch`, with the key's hash in its facts
 */
export function findLeaf(
  certificates: readonly [Certificate, ...Certificate[]],
  { publicKey }: PrivateKey,
): Certificate {
  const matching = certificates.filter((certificate) =>
    isSameKey(certificate.publicKey, publicKey),
  );
  const leaf = matching.find(({ authority }) => !authority);
  if (leaf !== undefined) return leaf;
  const meant = certificates.find(({ authority }) => !authority);
  const [authority] = matching;
  if (authority !== undefined && meant === undefined) {
    // `openssl req -x509` makes a CA unless told otherwise. Servers take it.
    return authority;
  }
  const expected = meant ?? certificates[0];
  const instead = authority ? `: it belongs to ${authority.label} of the chain, a CA` : "";
  throw new Failure("private_key_mismatch", {
    message: `the private key does not belong to ${expected.label}${instead}`,
    facts: { subject: expected.subject, publicKeyHash: publicKeyHash(publicKey) },
  });
}

/**
 * The same failure, which now says to which stored certificate the key belongs. A caller who has the
 * store looks up `failure.facts.publicKeyHash`.
 * @param stored the name or id of that certificate
 */
export function mismatchNaming(failure: Failure, stored: string): Failure {
  return new Failure("private_key_mismatch", {
    message: `${failure.message}; it belongs to the stored certificate "${stored}"`,
    cause: failure.cause,
    facts: { ...failure.facts, belongsTo: stored },
  });
}
