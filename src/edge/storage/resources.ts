import type { WorkerBinding } from "../../contract/change-feed.ts";
import type { StorageKind } from "../../contract/storage.ts";

/** What a binding reaches in the storage of its account. */
export interface Resource {
  readonly kind: StorageKind;
  readonly id: string;
}

/** Null: it reaches nothing there. */
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
