import { X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { matchesPattern, readSpiffeId, uriNames } from "countersign-origin/spiffe";
import type { SpiffeAuthority } from "../../contract/change-feed.ts";

/** Longer chains than OpenSSL's default are not followed. */
const DEEPEST = 100;

/**
 * Whether a server whose chain holds is one that the account expects: its certificate has exactly one
 * URI, a SPIFFE ID, and the CA that vouches for it is one from which this ID is expected.
 * @returns null: it is; else what it is instead
 */
export function spiffeError(tls: TLSSocket, expected: readonly SpiffeAuthority[]): Error | null {
  const leaf = tls.getPeerX509Certificate();
  const uris = leaf === undefined ? [] : uriNames(leaf.subjectAltName ?? "");
  const [id] = uris;
  if (leaf === undefined || id === undefined || uris.length > 1 || readSpiffeId(id) === null) {
    return wrong("it has no SPIFFE ID, or more than one URI");
  }
  const named = expected.filter(({ ids }) => ids.some((pattern) => matchesPattern(pattern, id)));
  if (named.length === 0) return wrong(`it is ${id.slice(0, 200)}`);
  if (named.some(({ authority }) => vouches(authority, leaf))) return null;
  return wrong(`it is ${id.slice(0, 200)}, from a CA that it is not expected from`);
}

function wrong(why: string): Error {
  return Object.assign(new Error(why), { code: "ERR_SPIFFE_ID" });
}

/** Whether a chain that was verified leads to this CA. */
function vouches(authority: string, leaf: X509Certificate): boolean {
  const anchor = new X509Certificate(authority);
  let one: X509Certificate | undefined = leaf;
  for (let i = 0; i < DEEPEST && one !== undefined; i++) {
    if (one.fingerprint256 === anchor.fingerprint256 || isSignedBy(one, anchor)) return true;
    if (one.issuerCertificate?.fingerprint256 === one.fingerprint256) return false;
    one = one.issuerCertificate;
  }
  return false;
}

function isSignedBy(certificate: X509Certificate, anchor: X509Certificate): boolean {
  try {
    return certificate.checkIssued(anchor) && certificate.verify(anchor.publicKey);
  } catch {
    return false;
  }
}
