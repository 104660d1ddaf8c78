import { randomUUID } from "node:crypto";
import type { ScriptKey } from "../contract/change-feed.ts";
import type { IdentityRequest } from "../contract/gateway.ts";
import { identityId } from "../contract/identity.ts";
import { presentedKeyPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";

/** A fresh key for a Worker's identity, sealed, and the request for its certificate. */
export async function requestIdentity(
  { accountId, scriptName }: ScriptKey,
  keyring: Keyring,
): Promise<IdentityRequest> {
  // Only a gateway with identities loads what writes requests.
  const { makeRequest } = await import("../identity/authority.ts");
  const { csr, key } = await makeRequest(scriptName, accountId);
  const sealedId = `${identityId(scriptName)}/${randomUUID()}`;
  return {
    csr,
    sealedKey: keyring.seal(presentedKeyPlace({ accountId, sealedId }), key),
    sealedId,
  };
}
