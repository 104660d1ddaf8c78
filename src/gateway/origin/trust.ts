import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext, DEFAULT_CIPHERS, type SecureContext } from "node:tls";
import type { Keyring } from "../../keys/seal.ts";
import type { AccountTrust, SpiffeAuthority } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import { openKey, type Credential } from "../../certificates/credential.ts";
import { matchesHost } from "../../network/patterns.ts";

/** The CAs that one origin is verified against. */
export interface TrustBundle {
  /** Names its content: equal bundles have equal ids. */
  readonly id: string;
  /** The public roots count too. */
  readonly publicRoots: boolean;
  /** PEM. */
  readonly authorities: readonly string[];
  /** By which SPIFFE IDs servers are known, and of which CA each. Absent: by the host's name. */
  readonly spiffe?: readonly SpiffeAuthority[];
}

export const noTrust: AccountTrust = { authorities: [], hosts: {}, proxied: [] };

/** @throws Failure `trust_unusable` if a CA does not parse */
export function checkTrust(accountId: string, trust: AccountTrust): void {
  const spiffe = Object.values(trust.spiffe ?? {}).flat();
  const all = [
    ...trust.authorities,
    ...Object.values(trust.hosts).flat(),
    ...spiffe.map(({ authority }) => authority),
  ];
  for (const authority of all) {
    try {
      // eslint-disable-next-line no-new
      new X509Certificate(authority);
    } catch (cause) {
      throw new Failure("trust_unusable", {
        message: `a CA that account ${accountId} trusts does not parse`,
        facts: { accountId },
        cause,
      });
    }
  }
}

/**
 * What verifies `host` for this certificate: the certificate's own CAs and nothing else, if it has
 * any; else those of the host's trust domain alone, if it is known by a SPIFFE ID; else the public
 * roots, the account's CAs, and those that count for this host.
 */
export function trustFor(
  credential: Pick<Credential, "trust"> | null,
  account: AccountTrust,
  host: string,
): TrustBundle {
  if (credential !== null && credential.trust !== null) return bundle(false, credential.trust);
  const spiffe = Object.entries(account.spiffe ?? {}).flatMap(([pattern, of]) =>
    matchesHost([pattern], host) ? of : [],
  );
  if (spiffe.length > 0) {
    const anchors = spiffe.map(({ authority }) => authority);
    return bundle(false, anchors, spiffe);
  }
  const authorities = [...account.authorities];
  for (const [pattern, pems] of Object.entries(account.hosts)) {
    if (matchesHost([pattern], host)) authorities.push(...pems);
  }
  return bundle(true, authorities);
}

/**
 * The same for a database. Its configuration's own CAs count alone, and of those only what the
 * certificate's ties let count.
 */
export function databaseTrust(
  { host, authorities }: { readonly host: string; readonly authorities: readonly string[] | null },
  credential: Pick<Credential, "trust"> | null,
  account: AccountTrust,
): TrustBundle {
  if (authorities === null) return trustFor(credential, account, host);
  const tied = credential?.trust ?? authorities;
  return bundle(
    false,
    authorities.filter((authority) => tied.includes(authority)),
  );
}

/**
 * TLS contexts, shared: one for a certificate version and trust bundle. The public
 * roots are parsed once a process; a context with CAs besides costs 26 KB where one that parses
 * all of them again costs 840 KB and 5 ms.
 */
export class SecureContexts {
  readonly #contexts: Map<string, SecureContext> = new Map();
  /** The same, with the cipher suites of old origins. */
  readonly #old: Map<string, SecureContext> = new Map();
  readonly #keyring: Keyring;
  readonly #oldHosts: readonly string[];

  /** @param oldHosts patterns of hosts that may choose an old cipher suite */
  constructor(keyring: Keyring, oldHosts: readonly string[]) {
    this.#keyring = keyring;
    this.#oldHosts = oldHosts;
  }

  /** @param credential null: nothing is presented */
  get(credential: Credential | null, trust: TrustBundle, host: string): SecureContext {
    const key = keyOf(credential, trust);
    const isOld = matchesHost(this.#oldHosts, host);
    const contexts = isOld ? this.#old : this.#contexts;
    let context = contexts.get(key);
    if (context === undefined) {
      const presented =
        credential === null
          ? null
          : { chain: credential.chain, key: openKey(credential, this.#keyring) };
      context = secureContext(presented, trust, isOld ? OLD_CIPHERS : CIPHERS);
      contexts.set(key, context);
    }
    return context;
  }

  /** Forgets every context, and with it the key, that is not among those in use. */
  retain(
    used: Iterable<{ readonly credential: Credential | null; readonly trust: TrustBundle }>,
  ): void {
    const keys = new Set(Array.from(used, ({ credential, trust }) => keyOf(credential, trust)));
    for (const contexts of [this.#contexts, this.#old]) {
      for (const key of contexts.keys()) if (!keys.has(key)) contexts.delete(key);
    }
  }
}

/** Those of workerd's own TLS: on TLS 1.2 forward secrecy and AEAD, or nothing (RFC 9325). */
const CIPHERS = [
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "TLS_AES_128_GCM_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** Beside them what Node offers, which has static RSA, finite-field groups and CBC. */
const OLD_CIPHERS = `${CIPHERS}:${DEFAULT_CIPHERS}`;

function keyOf(credential: Credential | null, trust: TrustBundle): string {
  if (credential === null) return trust.id;
  const { accountId, certificateId, version, fingerprint } = credential;
  return [accountId, certificateId, version, fingerprint, trust.id].join(" ");
}

function secureContext(
  presented: { readonly chain: string; readonly key: string } | null,
  trust: TrustBundle,
  ciphers: string,
): SecureContext {
  const context = createSecureContext({
    ciphers,
    ...(presented === null ? {} : { cert: presented.chain, key: presented.key }),
    minVersion: "TLSv1.2",
    // What was uploaded as a CA is an anchor, be it an intermediate or a self-signed server's own.
    ...(trust.authorities.length > 0 ? { allowPartialTrustChain: true } : {}),
    ...(trust.publicRoots ? {} : { ca: [...trust.authorities] }),
  });
  if (trust.publicRoots) {
    // `ca` replaces the roots; this adds to them, without a copy for each context.
    for (const authority of trust.authorities) context.context.addCACert(authority);
  }
  return context;
}

function bundle(
  publicRoots: boolean,
  authorities: readonly string[],
  spiffe?: readonly SpiffeAuthority[],
): TrustBundle {
  const hash = createHash("sha256").update(publicRoots ? "public" : "pinned");
  for (const authority of [...new Set(authorities)].toSorted()) hash.update("\0").update(authority);
  if (spiffe !== undefined) hash.update("\0spiffe").update(JSON.stringify(spiffe));
  const id = hash.digest("base64url").slice(0, 22);
  return { id, publicRoots, authorities, ...(spiffe && { spiffe }) };
}
