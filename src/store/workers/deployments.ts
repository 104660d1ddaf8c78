import type { DeploymentRow } from "../schema.ts";
import type { Database } from "../database.ts";

export interface VersionShare {
  readonly versionId: string;
  /** Above 0; those of a deployment add up to 100. */
  readonly percentage: number;
}

export interface StoredDeployment extends DeploymentRow {
  readonly versions: readonly VersionShare[];
}

export type NewDeployment = Omit<DeploymentRow, "number"> & {
  readonly versions: readonly VersionShare[];
};

/** It is the script's current deployment from now on. */
export async function insertDeployment(
  db: Database,
  deployment: NewDeployment,
): Promise<StoredDeployment> {
  const { versions, ...columns } = deployment;
  const before = await currentDeployment(db, deployment.scriptId);
  const row = { ...columns, number: (before?.number ?? 0) + 1 };
  await db.insertInto("deployments").values(row).execute();
  for (const share of versions) {
    await db
      .insertInto("deploymentVersions")
      .values({ deploymentId: row.id, ...share })
      .execute();
  }
  return { ...row, versions };
}

export async function currentDeployment(
  db: Database,
  scriptId: string,
): Promise<StoredDeployment | null> {
  const [newest] = await listDeployments(db, scriptId, 1);
  return newest ?? null;
}

/** Newest first, at most `limit`. */
export async function listDeployments(
  db: Database,
  scriptId: string,
  limit: number,
): Promise<StoredDeployment[]> {
  const rows = await db
    .selectFrom("deployments")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .orderBy("number", "desc")
    .limit(limit)
    .execute();
  return Promise.all(rows.map((row) => withVersions(db, row)));
}

export async function findDeployment(
  db: Database,
  scriptId: string,
  id: string,
): Promise<StoredDeployment | null> {
  const row = await db
    .selectFrom("deployments")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .where("id", "=", id)
    .executeTakeFirst();
  return row ? withVersions(db, row) : null;
}

/** The versions that it named stay. */
export async function deleteDeployment(db: Database, id: string): Promise<void> {
  await db.deleteFrom("deployments").where("id", "=", id).execute();
}

async function withVersions(db: Database, row: DeploymentRow): Promise<StoredDeployment> {
  const versions = await db
    .selectFrom("deploymentVersions")
    .select(["versionId", "percentage"])
    .where("deploymentId", "=", row.id)
    .orderBy("percentage", "desc")
    .orderBy("versionId")
    .execute();
  return { ...row, versions };
}
