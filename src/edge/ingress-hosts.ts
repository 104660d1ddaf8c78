import type { Logger } from "pino";
import type { Source } from "../contract/change-feed.ts";
import type { Host, ServedHost } from "../contract/hosts.ts";
import type { IngressHandle } from "../ingress/handle.ts";
import { hostKeyPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";

export interface IngressHostsOptions {
  readonly source: Pick<Source, "hosts" | "zones" | "challenges" | "revocations">;
  readonly keyring: Keyring;
  readonly ingress: Pick<IngressHandle, "hosts" | "zones" | "challenges">;
  readonly log: Logger;
}

/**
 * Tells the ingress of hosts. Their keys are opened here, so that the process which strangers talk
 * to holds the keys that it presents, and never the master key.
 */
export class IngressHosts {
  readonly #options: IngressHostsOptions;

  constructor(options: IngressHostsOptions) {
    this.#options = options;
  }

  async apply(accountId: string): Promise<void> {
    const { source, ingress } = this.#options;
    const hosts = await source.hosts(accountId);
    await ingress.hosts(
      accountId,
      hosts.map((host) => this.#open(accountId, host)),
      await source.revocations(accountId),
    );
    await ingress.zones(accountId, await source.zones(accountId));
    await ingress.challenges(accountId, await source.challenges(accountId));
  }

  /** A key that does not open costs its host the certificate, not the others theirs. */
  #open(accountId: string, host: Host): ServedHost {
    const { keyring, log } = this.#options;
    if (host.certificate === null) return { ...host, certificate: null };
    const { chain, sealedKey, sealedId } = host.certificate;
    try {
      const key = keyring.unseal(hostKeyPlace(accountId, sealedId), sealedKey);
      return { ...host, certificate: { chain, key } };
    } catch (error) {
      log.error({ accountId, host: host.host, error }, "a host's key does not open");
      return { ...host, certificate: null };
    }
  }
}
