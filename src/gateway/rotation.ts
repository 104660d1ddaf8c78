import { performance } from "node:perf_hooks";
import type { GatewayBinding } from "../contract/gateway.ts";

interface PreparedSocket {
  readonly binding: GatewayBinding;
  prepareAndRefresh(until: number): Promise<void>;
}

/**
 * A certificate has another version: the bindings that present it change to it. Resolves when all have. Connections
 * with the new version are made before, one after the other, while requests go on over the old ones. Otherwise all
 * requests of that moment would wait for handshakes that begin at once.
 */
export async function changeVersion(
  sockets: readonly PreparedSocket[],
  { accountId, certificateId }: Pick<GatewayBinding, "accountId" | "certificateId">,
): Promise<void> {
  const until = performance.now() + PREPARATION;
  for (const socket of sockets) {
    const { binding } = socket;
    if (binding.accountId !== accountId || binding.certificateId !== certificateId) continue;
    await socket.prepareAndRefresh(until);
  }
}

/** ms by which a change to another version may take longer, whatever the origins do. */
const PREPARATION = 500;
