import { Failure } from "../failures/failures.ts";
import { type Credential, iso } from "../certificates/credential.ts";
import type { OriginPool } from "./origin/pool.ts";
import { Pools } from "./origin/pools.ts";
import { Databases } from "./database/databases.ts";

type Presented = Pick<Credential, "accountId" | "certificateId">;

/**
 * Ends connections that present a certificate which may no longer be presented. Their requests in
 * flight fail with the reason.
 */
export class Cuts {
  readonly #pools: Pools;
  readonly #databases: Databases;

  constructor(pools: Pools, databases: Databases) {
    this.#pools = pools;
    this.#databases = databases;
  }

  /** All that present the certificate, in whichever version. */
  certificate(certificate: Presented, what: string): void {
    this.#cut(
      (credential) => isOf(credential, certificate),
      () => what,
    );
  }

  /** Draining connections with a revoked version would not end by themselves. */
  versions(certificate: Presented, versions: readonly number[]): void {
    this.#cut(
      (credential) => isOf(credential, certificate) && versions.includes(credential.version),
      ({ version }) => `had its version ${version} revoked`,
    );
  }

  /** A connection lives no longer than its certificate. */
  expired(now: number): void {
    this.#cut(
      ({ notAfter }) => notAfter <= now,
      ({ notAfter }) => `expired at ${iso(notAfter)}`,
    );
  }

  #cut(isMeant: (one: Credential) => boolean, what: (one: Credential) => string): void {
    this.#pools.cut(isMeant, (pool, credential) => connectionCut(pool, what(credential)));
    this.#databases.cut(isMeant, what);
  }
}

function isOf(credential: Credential, { accountId, certificateId }: Presented): boolean {
  return credential.accountId === accountId && credential.certificateId === certificateId;
}

function connectionCut(pool: OriginPool, what: string): Failure {
  const { certificateId, version } = pool.scope.credential ?? {};
  return new Failure("origin_connection_cut", {
    message: `the connection to ${pool.scope.origin} was cut: certificate ${certificateId} ${what}`,
    facts: { certificateId, version, origin: pool.scope.origin },
  });
}
