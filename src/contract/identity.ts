import type { ScriptKey } from "./change-feed.ts";

/** As a binding's `certificate_id`: the Worker's own identity, which Countersign issues. */
export const IDENTITY = "identity";

/** Of identities, unless `countersign start --trust-domain` says another. */
export const TRUST_DOMAIN = "countersign.internal";

/** The id under which the gateway knows a Worker's identity among the certificates. */
export function identityId(scriptName: string): string {
  return `${IDENTITY}:${scriptName}`;
}

/** What an edge asks of the control plane for the identities of the Workers that run on it. */
export interface IdentityIssuer {
  /**
   * Signs a request that the gateway has made.
   * @param csr PKCS #10, PEM
   * @throws Failure `identity_revoked`, `identity_deleted`, `identity_authority_offline`
   */
  issueIdentity(key: ScriptKey, csr: string): Promise<IssuedIdentity>;
  identity(key: ScriptKey): Promise<IdentityState>;
}

export interface IssuedIdentity {
  readonly spiffeId: string;
  /** Leaf first, PEM. */
  readonly chain: string;
  /** Counts up with each one that is issued to the Worker, from 1. */
  readonly version: number;
  readonly authorityId: string;
  /** ISO 8601. */
  readonly notBefore: string;
  readonly notAfter: string;
}

export interface IdentityState {
  /** ISO 8601. Null: the Worker may have one. */
  readonly revokedOn: string | null;
  /** Why. Null: the Worker may have one. */
  readonly reason: "revoked" | "deleted" | null;
  /** The SPIFFE ID that it would get now. If the current one differs, it is renewed. */
  readonly spiffeId: string;
  /**
   * The CA that issues now. If the current certificate is from another one, it is renewed. Null: no
   * CA was needed yet.
   */
  readonly authorityId: string | null;
}
