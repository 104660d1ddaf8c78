import type { Sealed } from "../keys/seal.ts";

/** Seconds that an assertion is good for. A Worker verifies it at once. */
export const ASSERTION_LIFE = 60;

/** Who reaches the hosts of one account: all that the ingress decides by. Empty: everybody does. */
export interface AccountAccess {
  readonly applications: readonly AccessApplication[];
  readonly tokens: readonly ServiceToken[];
  /** CAs of clients' certificates, each for some hosts. */
  readonly authorities: readonly AccessAuthority[];
  /** All are published. Of those whose time has come the newest signs. */
  readonly keys: readonly AccessKey[];
}

/** Hosts and paths that only callers reach whom a policy lets in. Without a policy: no caller. */
export interface AccessApplication {
  readonly id: string;
  /** The `aud` of its assertions. */
  readonly aud: string;
  /** `example.com`, `*.example.com/api`: a path covers all that is below it. */
  readonly domains: readonly string[];
  /** In their order. */
  readonly policies: readonly AccessPolicy[];
}

export interface AccessPolicy {
  readonly id: string;
  /** `non_identity`: let in with an assertion. `bypass`: let in without one. */
  readonly decision: "non_identity" | "bypass" | "deny";
  /** One of them has to match. None: it matches nobody. */
  readonly include: readonly AccessRule[];
  /** All of them have to match. */
  readonly require: readonly AccessRule[];
  /** None of them may match. */
  readonly exclude: readonly AccessRule[];
}

export type AccessRule =
  | { readonly kind: "everyone" }
  /** A CIDR range. */
  | { readonly kind: "ip"; readonly range: string }
  | { readonly kind: "service_token"; readonly tokenId: string }
  | { readonly kind: "any_valid_service_token" }
  /** Any client certificate of a CA that is for the host. */
  | { readonly kind: "certificate" }
  | { readonly kind: "common_name"; readonly commonName: string };

export interface ServiceToken {
  readonly id: string;
  /** `….access` */
  readonly clientId: string;
  readonly enabled: boolean;
  /** ISO 8601. Null: it does not end. */
  readonly expiresOn: string | null;
  /** The one in force first; the one before works until its time. */
  readonly secrets: readonly { readonly hash: string; readonly until: string | null }[];
}

export interface AccessAuthority {
  readonly id: string;
  /** PEM. */
  readonly certificate: string;
  readonly hosts: readonly string[];
}

/** A key that signs assertions, RS256. */
export interface AccessKey {
  readonly id: string;
  /** JSON Web Key, as it is published. */
  readonly publicKey: Readonly<Record<string, unknown>>;
  /** ISO 8601: when it begins to sign. */
  readonly signsFrom: string;
  /** PKCS #8, PEM; its place is {account, id, kind: "access-key"}. */
  readonly sealedKey: Sealed;
}
