import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";
import { Failure } from "../failures/failures.ts";
import type { Certificate } from "./certificate.ts";

/**
 * The leaf, then each issuer after what it issued.
 * @param certificates the leaf and its issuers, in any order
 * @throws Failure `chain_unrelated` naming the first certificate that issued none of the others
 */
export function sortChain(
  leaf: Certificate,
  certificates: readonly Certificate[],
): readonly [Certificate, ...Certificate[]] {
  const chain: [Certificate, ...Certificate[]] = [leaf];
  // The chain grows while it is walked. Cross-signed issuers make it a tree, breadth first.
  for (const certificate of chain) {
    chain.push(
      ...certificates.filter((other) => !chain.includes(other) && issued(other.x509, certificate)),
    );
  }
  const extra = certificates.find((certificate) => !chain.includes(certificate));
  if (extra !== undefined) throw unrelated(extra, chain);
  return chain;
}

/**
 * Whether the chain ends at a root, at one of `authorities`, or at a CA of Node's public roots. A
 * chain that does not may still be whole: the root that it lacks may be known to the origin only.
 * @param authorities the account's CAs, PEM
 */
export function isComplete(
  chain: readonly Certificate[],
  authorities: readonly string[] = [],
): boolean {
  return (
    chain.some(isSelfSigned) ||
    endsAt(chain, authorities) ||
    chain.some((certificate) =>
      publicRoots(certificate.x509.issuer).some((root) => issued(root, certificate)),
    )
  );
}

/** Whatever its key usage says: an origin's own certificate need not be one that may sign others. */
export function isSelfSigned({ x509 }: Certificate): boolean {
  return x509.subject === x509.issuer && verifies(x509, x509);
}

/**
 * By subject. They never change, so they are read once: that takes some milliseconds, as much as
 * all other work here.
 */
let rootsBySubject: ReadonlyMap<string, readonly X509Certificate[]> | undefined;

function publicRoots(subject: string): readonly X509Certificate[] {
  rootsBySubject ??= Map.groupBy(
    rootCertificates.map((pem) => new X509Certificate(pem)),
    (root) => root.subject,
  );
  return rootsBySubject.get(subject) ?? [];
}

function endsAt(chain: readonly Certificate[], authorities: readonly string[]): boolean {
  return authorities.some((pem) => {
    const authority = new X509Certificate(pem);
    return chain.some((certificate) => issued(authority, certificate));
  });
}

function issued(issuer: X509Certificate, { x509 }: Certificate): boolean {
  return x509.checkIssued(issuer) && verifies(x509, issuer);
}

function verifies(x509: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return x509.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

function unrelated(extra: Certificate, chain: readonly Certificate[]): Failure {
  const namesake = chain.find(({ x509 }) => x509.issuer === extra.x509.subject);
  const why = namesake
    ? `it has the name of the issuer of ${namesake.label}, but did not sign it`
    : `it issued none of ${chain.map(({ label }) => label).join(", ")}`;
  return new Failure("chain_unrelated", {
    message: `${extra.label} in the certificate file is not part of the chain: ${why}`,
    facts: { subject: extra.subject, fingerprint: extra.x509.fingerprint256 },
  });
}
