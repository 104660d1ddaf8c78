import { readWorkerSpiffeId } from "./identity.ts";
import type { Policy } from "./policy.ts";
import { isAllowed } from "./decide.ts";

/** The facts of a caller's certificate. Lists of names are empty where it has none. */
export interface CallerCertificate {
  /** `CN=billing,O=acme`, the most specific part first (RFC 4514). */
  readonly subject: string;
  readonly issuer: string;
  /** Hexadecimal, upper case, without separators. Empty: the proxy did not send it. */
  readonly serialNumber: string;
  /** SHA-256 of its DER, hexadecimal, lower case, without separators. */
  readonly fingerprint: string;
  /** URI names. A SPIFFE SVID has exactly one. */
  readonly uris: readonly string[];
  /** Null: the proxy did not send it, or it cannot be read. */
  readonly notBefore: Date | null;
  readonly notAfter: Date | null;
}

/** The facts of a caller that rules are matched against. */
export interface CallerFacts {
  /** The Worker's name, if Countersign issued the certificate as a Worker's identity. Else null. */
  readonly worker: string | null;
  readonly account: string | null;
  readonly environment: string | null;
  /** Null: the certificate has no SPIFFE ID, or more than one URI. */
  readonly spiffeId: string | null;
  readonly certificate: CallerCertificate;
}

/** A caller, and what the policy in force allows it. */
export interface Caller extends CallerFacts {
  /** Whether the policy that is in force now allows this caller another method and path. */
  may(method: string, path: string): boolean;
  /** The certificate's thumbprint (RFC 8705), to compare with a bound token's `cnf["x5t#S256"]`. */
  readonly x5tS256: string;
}

/** Reads the caller's identity from a certificate that was already verified. */
export function callerFacts(certificate: CallerCertificate): CallerFacts {
  const { uris } = certificate;
  // SPIFFE (X509-SVID) requires exactly one URI. With two, nothing says which one is meant.
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
