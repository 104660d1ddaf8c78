import { randomBytes, type X509Certificate } from "node:crypto";
import type { ServerOptions } from "node:https";
import { TLSSocket, type Server } from "node:tls";
import type { Socket } from "node:net";
import type { Proof } from "./authorizer.ts";
import { callerFacts, type CallerFacts } from "./caller.ts";
import type { RefusalCode } from "./decide.ts";
import { parseCertificate, readCertificate } from "./certificate.ts";
import type { RevokedSerials } from "./revocations.ts";
import type { Trust } from "./trust.ts";

/**
 * Options for `https.createServer` that ask for a client certificate and let the handshake succeed in any case. So a
 * refusal is a readable answer, and the certificate is judged at each request.
 */
export function secureServerOptions(trust: Trust): ServerOptions {
  return {
    requestCert: true,
    rejectUnauthorized: false,
    ca: [...trust.state.authorities],
    minVersion: "TLSv1.2",
  };
}

/**
 * Keeps a server's CAs the same as its trust: new CAs count from the next handshake on. When a CA is removed, earlier
 * sessions are not resumed, and open connections are refused at their next request.
 * @returns a function that stops it
 */
export function followTrust(
  server: Server,
  trust: Trust,
  pair: { cert: string | Buffer; key: string | Buffer },
): () => void {
  let epoch = trust.epoch;
  let known = trust.state.authorities.join("");
  return trust.onChange(() => {
    // A new context is set only when CAs change, because it resumes no earlier session. Other changes are judged at
    // each request.
    const authorities = trust.state.authorities.join("");
    if (authorities === known) return;
    known = authorities;
    server.setSecureContext({ ...pair, ...secureServerOptions(trust) });
    if (epoch === trust.epoch) return;
    epoch = trust.epoch;
    server.setTicketKeys(randomBytes(48));
  });
}

interface Seen {
  readonly facts: CallerFacts;
  readonly epoch: number;
  /** SHA-256 of the CA that the certificate leads to. Null: not known. */
  readonly root: string | null;
  /** Unix time in ms. Where it is not known: -Infinity, and Infinity for the end. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** The certificate was shown on an earlier connection, of which this one resumes the session. */
  readonly isResumed: boolean;
  /** The list in which the certificate was last not found, and its size then: a list only grows, or is replaced. */
  notIn: { readonly revoked: RevokedSerials | null; readonly size: number };
}

/** Stored on the socket itself, which is faster than a map: it is read at each request. */
const seen: unique symbol = Symbol("countersign.seen");
type Judged = Socket & { [seen]?: Seen };

/**
 * The client of a connection, as OpenSSL verified it in the handshake and as its certificate stands now: it may have
 * expired or been revoked since, or its CA may have been removed. Never throws.
 */
export function proveSocket(socket: Socket, trust: Trust | null, now: number): Proof {
  const kept: Judged = socket;
  let known = kept[seen];
  if (known === undefined) {
    if (!(socket instanceof TLSSocket)) return "certificate_missing";
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return "certificate_missing";
    if (!socket.authorized) return verdictOf(socket.authorizationError, certificate, trust);
    const facts = callerFacts(readCertificate(certificate));
    const root = trust === null ? null : rootOf(certificate, trust);
    const { notBefore, notAfter } = facts.certificate;
    known = {
      facts,
      root,
      epoch: trust?.epoch ?? 0,
      notBefore: notBefore?.getTime() ?? Number.NEGATIVE_INFINITY,
      notAfter: notAfter?.getTime() ?? Number.POSITIVE_INFINITY,
      isResumed: socket.isSessionReused(),
      notIn: { revoked: null, size: 0 },
    };
    kept[seen] = known;
  }
  const { facts, root, epoch } = known;
  if (trust !== null && epoch !== trust.epoch && !isTrusted(root, trust)) {
    return "certificate_untrusted";
  }
  if (trust !== null && isRevoked(known, trust)) {
    return known.isResumed ? "session_revoked" : "certificate_revoked";
  }
  if (now > known.notAfter) return "certificate_expired";
  return now < known.notBefore ? "certificate_not_yet_valid" : facts;
}

function isRevoked(known: Seen, { state: { revoked } }: Trust): boolean {
  if (known.notIn.revoked === revoked && known.notIn.size === revoked.size) return false;
  if (revoked.has(known.facts.certificate.serialNumber)) return true;
  known.notIn = { revoked, size: revoked.size };
  return false;
}

/** By a leaf's fingerprint, the CA that it led to when its chain was last sent: a resumed session has only the leaf. */
const roots = new Map<string, string>();
const REMEMBERED = 10_000;
/** Longer chains than OpenSSL's default are not followed. */
const DEEPEST = 100;

function rootOf(leaf: X509Certificate, { state: { authorities } }: Trust): string | null {
  const known = roots.get(leaf.fingerprint256);
  if (known !== undefined) return known;
  let top = leaf;
  for (let i = 0; i < DEEPEST && top.issuerCertificate !== undefined; i++) {
    if (top.issuerCertificate.fingerprint256 === top.fingerprint256) break;
    top = top.issuerCertificate;
  }
  const root = parsed(authorities).find((one) => isSignedBy(top, one))?.fingerprint256;
  if (root === undefined) return null;
  if (roots.size >= REMEMBERED) roots.delete(roots.keys().next().value!);
  roots.set(leaf.fingerprint256, root);
  return root;
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  if (certificate.fingerprint256 === issuer.fingerprint256) return true;
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

function isTrusted(root: string | null, { state: { authorities } }: Trust): boolean {
  return root !== null && parsed(authorities).some(({ fingerprint256 }) => fingerprint256 === root);
}

const certificates = new WeakMap<readonly string[], readonly X509Certificate[]>();

function parsed(authorities: readonly string[]): readonly X509Certificate[] {
  let known = certificates.get(authorities);
  if (known === undefined) {
    known = authorities.flatMap((pem) => parseCertificate(pem) ?? []);
    certificates.set(authorities, known);
  }
  return known;
}

function verdictOf(
  error: Error | string | null | undefined,
  leaf: X509Certificate,
  trust: Trust | null,
): RefusalCode {
  const code =
    typeof error === "object" && error !== null ? (error as NodeJS.ErrnoException).code : error;
  if (code === "CERT_HAS_EXPIRED") return "certificate_expired";
  if (code === "CERT_NOT_YET_VALID") return "certificate_not_yet_valid";
  return trust !== null && namesTrusted(leaf, trust)
    ? "certificate_authority_mismatch"
    : "certificate_untrusted";
}

/** The chain leads to no trusted CA: does one of its certificates name a trusted CA as its issuer? */
function namesTrusted(leaf: X509Certificate, { state: { authorities } }: Trust): boolean {
  const names = new Set(parsed(authorities).map((one) => readCertificate(one).subject));
  let one: X509Certificate | undefined = leaf;
  for (let i = 0; i < DEEPEST && one !== undefined; i++) {
    const { issuer } = readCertificate(one);
    if (issuer !== "" && names.has(issuer)) return true;
    one = one.issuerCertificate;
  }
  return false;
}
