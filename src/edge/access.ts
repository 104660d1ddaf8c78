import type { Logger } from "pino";
import { accessKeyPlace } from "../keys/places.ts";
import type { AccountAccess } from "../contract/access.ts";
import type { Keyring } from "../keys/seal.ts";
import type { IngressAccess } from "../ingress/protocol.ts";

/** With the keys that open. One that does not signs nothing, and its hosts stay closed. */
export function ingressAccess(
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
