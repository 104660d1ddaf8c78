import type { WorkerBinding } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import { findResource, findResourceByName } from "../../store/resources.ts";
import type { ResourceKind } from "../../store/schema.ts";

/** The resources that store a binding's data must exist. @throws Failure `binding_resource_unknown` */
export async function assertStored(
  db: Database,
  accountId: string,
  binding: WorkerBinding,
): Promise<void> {
  const wanted = storedTarget(binding);
  if (wanted === null) return;
  const { kind, by, value, noun } = wanted;
  const found =
    by === "id"
      ? await findResource(db, accountId, kind, value)
      : await findResourceByName(db, accountId, kind, value);
  if (found) return;
  throw new Failure("binding_resource_unknown", {
    message: `the binding "${binding.name}" names the ${noun} "${value}", which was not found`,
    facts: { binding: binding.name, [by]: value },
  });
}

interface StoredTarget {
  readonly kind: ResourceKind;
  readonly by: "id" | "name";
  readonly value: string;
  readonly noun: string;
}

function storedTarget(binding: WorkerBinding): StoredTarget | null {
  switch (binding.type) {
    case "kv_namespace":
      return { kind: "kv", by: "id", value: binding.namespaceId, noun: "KV namespace" };
    case "d1":
      return { kind: "d1", by: "id", value: binding.databaseId, noun: "D1 database" };
    case "r2_bucket":
      return { kind: "r2", by: "name", value: binding.bucketName, noun: "R2 bucket" };
    case "queue":
      return { kind: "queue", by: "name", value: binding.queueName, noun: "queue" };
    default:
      return null;
  }
}
