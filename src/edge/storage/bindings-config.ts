import type { WorkerBinding, WorkerVersion } from "../../contract/change-feed.ts";
import type { CapnpValue } from "../config/capnp.ts";
import { CAPABILITY_HEADER } from "./capabilities.ts";
import { embedded } from "./modules.ts";
import { isRemote, remoteBinding } from "./remote-objects.ts";
import { resourceOf, type Resource } from "./resources.ts";

type Version = Pick<WorkerVersion, "bindings">;

interface StorageWiring {
  linkedSocket(bindingName: string): string;
  capability(resource: Resource): string;
}

/** The services of a Worker's process through which one of its bindings reaches storage. */
export function storageServices(
  binding: WorkerBinding,
  service: string,
  wiring: StorageWiring,
): readonly CapnpValue[] {
  const resource = resourceOf(binding);
  if (resource === null) return [];
  const capability = wiring.capability(resource);
  const external = {
    address: `unix:${wiring.linkedSocket(binding.name)}`,
    http: {
      capnpConnectHost: "rpc",
      injectRequestHeaders: [
        { name: CAPABILITY_HEADER, value: capability },
        ...(binding.type === "queue" && binding.deliveryDelay !== undefined
          ? [{ name: "cs-delay", value: String(binding.deliveryDelay) }]
          : []),
      ],
    },
  };
  return [{ name: service, external }];
}

/** The binding as workerd's configuration writes it. Null: the binding is none of storage's. */
export function storedBinding(
  binding: WorkerBinding,
  service: string,
): Readonly<Record<string, CapnpValue>> | null {
  switch (binding.type) {
    case "kv_namespace":
      return { kvNamespace: service };
    case "r2_bucket":
      return { r2Bucket: service };
    case "queue":
      return { queue: service };
    case "analytics_engine":
      return { analyticsEngine: service };
    case "durable_object_namespace":
      if (isRemote(binding)) return remoteBinding(binding);
      return { durableObjectNamespace: { className: binding.className } };
    case "d1":
      return wrapped("cloudflare-internal:d1-api", service, []);
    case "ratelimit":
      return wrapped(RATE_LIMIT, service, [
        { name: "limit", json: JSON.stringify(binding.limit) },
        { name: "period", json: JSON.stringify(binding.period) },
      ]);
    default:
      return null;
  }
}

export function extensionsOf(version: Version): readonly CapnpValue[] {
  if (!hasRateLimits(version)) return [];
  return [{ modules: [{ name: RATE_LIMIT, esModule: embedded(RATE_LIMIT_FILE), internal: true }] }];
}

/** The files of the package that a Worker's configuration embeds. */
export function embeddedBy(version: Version): readonly string[] {
  return hasRateLimits(version) ? [RATE_LIMIT_FILE] : [];
}

const RATE_LIMIT = "countersign:rate-limit";
const RATE_LIMIT_FILE = "rate-limit-binding.js";

function wrapped(
  moduleName: string,
  fetcher: string,
  more: readonly CapnpValue[],
): Readonly<Record<string, CapnpValue>> {
  const innerBindings = [{ name: "fetcher", service: fetcher }, ...more];
  return { wrapped: { moduleName, innerBindings } };
}

function hasRateLimits({ bindings }: Version): boolean {
  return bindings.some(({ type }) => type === "ratelimit");
}
