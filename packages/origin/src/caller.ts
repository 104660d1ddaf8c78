import { readWorkerSpiffeId } from "./identity.ts";
import type { Policy } from "./policy.ts";
import { isAllowed } from "./decide.ts";

/** What is known of a caller's certificate. Names are empty where it has none. */
export interface CallerCertificate {
  /** `CN=billing,O=acme`, the most specific part first (RFC 4514). */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, upper case, without separators. Empty: the proxy did not tell. */
  readonly serialNumber: string;
  /** SHA-256 of its DER, hexadecimal, lower case, without separators. */
  readonly fingerprint: string;
  /** URI names. A SPIFFE SVID has exactly one. */
  readonly uris: readonly string[];
  /** Null: the proxy did not tell, or it cannot be read. */
  readonly notBefore: Date | null;
  readonly notAfter: Date | null;
}

/** Who calls: the facts that rules are matched against. */
export interface CallerFacts {
  /** The Worker's name, where Countersign issued its identity. */
  readonly worker: string | null;
  readonly account: string | null;
  readonly environment: string | null;
  /** Null: the certificate has no SPIFFE ID, or more than one URI. */
  readonly spiffeId: string | null;
  readonly certificate: CallerCertificate;
}

/** A caller, with what the policy in force lets it do. */
export interface Caller extends CallerFacts {
  /** What the policy says of this caller for another method and path, now. */
  may(method: string, path: string): boolean;
  /** RFC 8705: the certificate's thumbprint, as in a bound token's `cnf["x5t#S256"]`. */
  readonly x5tS256: string;
}

/** Reads the identity out of a certificate that was verified already. */
export function callerFacts(certificate: CallerCertificate): CallerFacts {
  const { uris } = certificate;
  // RFC and SPIFFE alike: an SVID has one URI. With two, which one is meant is anybody's guess.
  const only = uris.length === 1 ? uris[0]! : null;
  const spiffeId = only !== null && only.startsWith("spiffe://") ? only : null;
  const identity = spiffeId === null ? null : readWorkerSpiffeId(spiffeId);
  return {
    worker: identity?.worker ?? null,
    account: identity?.account ?? null,
    environment: identity?.environment ?? null,
    spiffeId,
    certificate,
  };
}

export function callerOf(facts: CallerFacts, policy: () => Policy | null): Caller {
  return Object.freeze({
    ...facts,
    may: (method: string, path: string) => isAllowed(policy(), facts, { method, path }),
    get x5tS256() {
      return thumbprint(facts.certificate.fingerprint);
    },
  });
}

function thumbprint(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  const text = String.fromCharCode(...bytes.map((pair) => Number.parseInt(pair, 16)));
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
