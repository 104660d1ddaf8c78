import type { X509Certificate } from "node:crypto";

/** A client's certificate and what leads from it to a CA of the host. */
export interface Path {
  readonly leaf: X509Certificate;
  /** What it sent besides, in its order. */
  readonly chain: readonly X509Certificate[];
  /** Of the chain, those that stand above the leaf, the lowest first. Without the CA of the host. */
  readonly above: readonly X509Certificate[];
  /** Who signed the leaf. Null: not known. */
  readonly issuer: X509Certificate | null;
  /** The CA of the host that it leads to. Null: none, or the chain is not known. */
  readonly root: X509Certificate | null;
  /** Null: OpenSSL verified it. Otherwise its code. */
  readonly error: string | null;
}

/** As many as OpenSSL follows at most. */
const LONGEST = 100;

/** Never throws. */
export function pathOf(
  leaf: X509Certificate,
  {
    authorities,
    error,
  }: { readonly authorities: readonly X509Certificate[]; readonly error: string | null },
): Path {
  const chain = chainOf(leaf);
  const above: X509Certificate[] = [];
  let root: X509Certificate | null = null;
  let top = leaf;
  while (above.length <= LONGEST) {
    root = authorities.find((one) => isSame(one, top) || hasSigned(one, top)) ?? null;
    if (root !== null) break;
    const next = chain.find(
      (one) => one.ca && !isSame(one, top) && !above.includes(one) && hasSigned(one, top),
    );
    if (next === undefined) break;
    above.push(next);
    top = next;
  }
  const issuer = above[0] ?? root ?? namedIssuer(leaf, [...chain, ...authorities]);
  return { leaf, chain, above, issuer, root, error };
}

/** In the order in which it was sent, without the leaf. */
function chainOf(leaf: X509Certificate): X509Certificate[] {
  const chain: X509Certificate[] = [];
  try {
    for (let next = leaf.issuerCertificate; next !== undefined; next = next.issuerCertificate) {
      if (chain.length === LONGEST) break;
      chain.push(next);
    }
  } catch {
    // The rest cannot be read: what was read so far is used.
  }
  return chain;
}

function isSame(one: X509Certificate, other: X509Certificate): boolean {
  return one.fingerprint256 === other.fingerprint256;
}

function hasSigned(issuer: X509Certificate, certificate: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/** The issuer that it names. The signature may be from another key. */
function namedIssuer(
  leaf: X509Certificate,
  candidates: readonly X509Certificate[],
): X509Certificate | null {
  try {
    return candidates.find((one) => leaf.checkIssued(one)) ?? null;
  } catch {
    return null;
  }
}
