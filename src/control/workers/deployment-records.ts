import type { By } from "./lookup.ts";
import { randomUUID } from "node:crypto";
import type { WorkerBinding } from "../../contract/change-feed.ts";
import type { StoredDeployment } from "../../store/workers/deployments.ts";
import type { Database } from "../../store/database.ts";
import { type StoredVersion, findVersion } from "../../store/workers/versions.ts";

/** What the audit log records of a deployment: percentages by version. */
export function deployed(deployment: StoredDeployment | null): Readonly<Record<string, number>> {
  return Object.fromEntries(
    (deployment?.versions ?? []).map(({ versionId, percentage }) => [versionId, percentage]),
  );
}

/** What the audit log records of a binding: never its text, which may be a secret. */
export function namedBinding(binding: WorkerBinding): object {
  const { name, type } = binding;
  return { name, type, ...(type === "mtls_certificate" && { certificate: binding.certificateId }) };
}

/** Whether all of these versions are older than every version that runs. */
export async function isRollback(
  db: Database,
  current: StoredDeployment | null,
  versions: readonly StoredVersion[],
): Promise<boolean> {
  if (!current) return false;
  const running = await Promise.all(
    current.versions.map(({ versionId }) => findVersion(db, current.scriptId, versionId)),
  );
  const oldest = Math.min(...running.map((version) => version?.number ?? 0));
  return versions.every(({ number }) => number < oldest);
}

export function newDeployment(
  scriptId: string,
  { author, source }: By,
  createdOn: string,
  annotations: Readonly<Record<string, string>>,
): Omit<StoredDeployment, "number" | "versions"> {
  return {
    id: randomUUID(),
    scriptId,
    author,
    source,
    createdOn,
    annotations,
  };
}
