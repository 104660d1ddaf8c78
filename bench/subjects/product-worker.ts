import { bindingNetwork, fetchNetwork } from "../../src/network/workerd-network.ts";
import {
  type LaidOutVersion,
  type Wiring,
  workerdConfig,
} from "../../src/edge/config/workerd-config.ts";
import { GATEWAY_OPTIONS } from "../product.ts";

type Given = Pick<
  LaidOutVersion,
  "accountId" | "scriptName" | "versionId" | "compatibilityDate" | "compatibilityFlags" | "bindings"
> &
  Partial<Pick<LaidOutVersion, "presented">>;

/**
 * workerd's configuration of the Worker `worker.js`, as the product writes it, with only its bindings. Its sockets are
 * called `NAME-worker.sock` and `NAME-probe.sock`.
 */
export function productConfig(
  name: string,
  version: Given,
  wiring: Partial<Pick<Wiring, "bindingSocket" | "privateKey">>,
): string {
  return workerdConfig(
    {
      presented: new Map(),
      ...version,
      mainModule: "worker.js",
      modules: [{ name: "worker.js", type: "esm", file: "worker.js" }],
      sourceMaps: new Map(),
      databases: new Map(),
      identity: version.versionId,
      asksForKeys: false,
      asksCache: false,
      assets: null,
      origins: [],
    },
    {
      socket: `${name}-worker.sock`,
      hasOwnPort: false,
      probeSocket: `${name}-probe.sock`,
      eventsSocket: null,
      entrypoints: new Map(),
      assetsFolder: "a",
      emptyFolder: ".",
      accessKeys: "127.0.0.1:1",
      tail: null,
      heap: 0,
      bindingSocket: () => "none",
      linkedSocket: () => "none",
      capability: () => "none",
      fetch: fetchNetwork(["public"], []),
      inProcess: bindingNetwork(GATEWAY_OPTIONS.addresses, []),
      privateKey: () => "",
      ...wiring,
    },
  );
}
