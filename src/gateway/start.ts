import type { GatewayHandle } from "../contract/gateway.ts";
import { GatewayGroup } from "./gateway-group.ts";
import type { StartGatewayOptions } from "./start-options.ts";
import { SupervisedGateway } from "./supervised-gateway.ts";

/**
 * Starts the gateway. Resolves when each process is ready for certificates and bindings.
 * @throws Failure `edge_process_failed`, `process_not_started`
 */
export async function startGateway(options: StartGatewayOptions): Promise<GatewayHandle> {
  const { count = 1, user = null } = options;
  if (count > 1 || user !== null) return await GatewayGroup.start(options, count);
  const gateway = new SupervisedGateway(options, { index: 0, count: 1 });
  await gateway.start(options);
  return gateway;
}
