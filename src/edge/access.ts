import type { Logger } from "pino";
import { accessKeyPlace } from "../keys/places.ts";
import type { AccountAccess } from "../contract/access.ts";
import type { Source } from "../contract/change-feed.ts";
import type { Keyring } from "../keys/seal.ts";
import type { IngressHandle } from "../ingress/handle.ts";
import type { IngressAccess } from "../ingress/protocol.ts";
import type { FeedChange } from "./feed.ts";

interface AccessParts {
  readonly source: Pick<Source, "access">;
  readonly ingress: Pick<IngressHandle, "access">;
  readonly keyring: Keyring;
  readonly log: Logger;
  /** Resolves when the change is in force. It comes back to `renew`, in its turn. */
  readonly apply: (change: FeedChange) => Promise<void>;
}

/** Who reaches the hosts of an account, as the ingress knows it. */
export class AccessAtIngress {
  readonly #parts: AccessParts;
  /** Accounts of which it knows that. */
  readonly #known = new Set<string>();

  constructor(parts: AccessParts) {
    this.#parts = parts;
  }

  /**
   * Before its first host is known, so that a host behind Access never answers without its
   * policies.
   */
  async ensure(accountId: string): Promise<void> {
    if (!this.#known.has(accountId)) await this.#parts.apply({ kind: "access", accountId });
  }

  async renew(accountId: string): Promise<void> {
    const { source, ingress, keyring, log } = this.#parts;
    const access = await source.access(accountId);
    await ingress.access({ accountId, access: ingressAccess(accountId, access, keyring, log) });
    this.#known.add(accountId);
  }
}

/**
 * With the keys that can be opened. A key that cannot be opened signs nothing, and its hosts stay
 * closed.
 */
function ingressAccess(
  accountId: string,
  access: AccountAccess,
  keyring: Keyring,
  log: Logger,
): IngressAccess {
  return {
    ...access,
    keys: access.keys.flatMap(({ id, publicKey, sealedKey, signsFrom }) => {
      try {
        const place = accessKeyPlace(accountId, id);
        return [{ id, publicKey, signsFrom, privateKey: keyring.unseal(place, sealedKey) }];
      } catch (error) {
        log.error({ accountId, key: id, error }, "a key of Access does not open");
        return [];
      }
    }),
  };
}
