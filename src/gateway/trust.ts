import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { Keyring } from "../keys/seal.ts";
import type { AccountTrust } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import { openKey, type Credential } from "../certificates/credential.ts";
import { matchesHost } from "../network/patterns.ts";

/** The CAs that one origin is verified against. */
export interface TrustBundle {
  /** Names its content: equal bundles have equal ids. */
  readonly id: string;
  /** The public roots count too. */
  readonly publicRoots: boolean;
  /** PEM. */
  readonly authorities: readonly string[];
}

export const noTrust: AccountTrust = { authorities: [], hosts: {}, proxied: [] };

/** @throws Failure `trust_unusable` if a CA does not parse */
export function checkTrust(accountId: string, trust: AccountTrust): void {
  for (const authority of [...trust.authorities, ...Object.values(trust.hosts).flat()]) {
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
 * any; else the public roots, the account's CAs, and those that count for this host.
 */
export function trustFor(credential: Credential, account: AccountTrust, host: string): TrustBundle {
  if (credential.trust !== null) return bundle(false, credential.trust);
  const authorities = [...account.authorities];
  for (const [pattern, pems] of Object.entries(account.hosts)) {
    if (matchesHost([pattern], host)) authorities.push(...pems);
  }
  return bundle(true, authorities);
}

/**
 * TLS contexts, shared: one for a certificate version and trust bundle. The public
 * roots are parsed once a process; a context with CAs besides costs 26 KB where one that parses
 * all of them again costs 840 KB and 5 ms.
 */
export class SecureContexts {
  readonly #contexts: Map<string, SecureContext> = new Map();
  readonly #keyring: Keyring;

  constructor(keyring: Keyring) {
    this.#keyring = keyring;
  }

  get(credential: Credential, trust: TrustBundle): SecureContext {
    const key = keyOf(credential, trust);
    let context = this.#contexts.get(key);
    if (context === undefined) {
      const { chain } = credential;
      context = secureContext({ chain, key: openKey(credential, this.#keyring) }, trust);
      this.#contexts.set(key, context);
    }
    return context;
  }

  /** Forgets every context, and with it the key, that is not among those in use. */
  retain(used: Iterable<{ readonly credential: Credential; readonly trust: TrustBundle }>): void {
    const keys = new Set(Array.from(used, ({ credential, trust }) => keyOf(credential, trust)));
    for (const key of this.#contexts.keys()) {
      if (!keys.has(key)) this.#contexts.delete(key);
    }
  }
}

function keyOf(credential: Credential, trust: TrustBundle): string {
  const { accountId, certificateId, version, fingerprint } = credential;
  return [accountId, certificateId, version, fingerprint, trust.id].join(" ");
}

function secureContext(
  presented: { readonly chain: string; readonly key: string },
  trust: TrustBundle,
): SecureContext {
  const context = createSecureContext({
    cert: presented.chain,
    key: presented.key,
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

function bundle(publicRoots: boolean, authorities: readonly string[]): TrustBundle {
  const hash = createHash("sha256").update(publicRoots ? "public" : "pinned");
  for (const authority of [...new Set(authorities)].toSorted()) hash.update("\0").update(authority);
  return { id: hash.digest("base64url").slice(0, 22), publicRoots, authorities };
}
