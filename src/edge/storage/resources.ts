import type { WorkerBinding } from "../../contract/change-feed.ts";
import type { StorageKind } from "../../contract/storage.ts";

/** The resource of its account's storage that a binding reaches. */
export interface Resource {
  readonly kind: StorageKind;
  readonly id: string;
}

/** Null: the binding reaches no storage. */
export function resourceOf(binding: WorkerBinding): Resource | null {
  switch (binding.type) {
    case "kv_namespace":
      return { kind: "kv", id: binding.namespaceId };
    case "d1":
      return { kind: "d1", id: binding.databaseId };
    case "r2_bucket":
      return { kind: "r2", id: binding.bucketName };
    case "queue":
      return { kind: "queue", id: binding.queueName };
    case "ratelimit":
      return { kind: "rate-limit", id: binding.namespaceId };
    case "analytics_engine":
      return { kind: "analytics", id: binding.dataset };
    default:
      return null;
  }
}
