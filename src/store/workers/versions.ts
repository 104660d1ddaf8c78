import type {
  ModuleType,
  WorkerBinding,
  WorkerModule,
  WorkerVersion,
} from "../../contract/change-feed.ts";
import { eventsOf } from "./schedules.ts";
import { observabilityOf } from "./observability.ts";
import { assetsOf } from "./assets.ts";
import { namespacesOf, objectsOf } from "./object-namespaces.ts";
import { workflowsAsRun, workflowsOf } from "./workflows.ts";
import { withKeepers } from "./remote-objects.ts";
import { inProcessBindings, withModes } from "./binding-modes.ts";
import type { ScriptRow, ScriptVersionRow, VersionSettings } from "../schema.ts";
import type { Database } from "../database.ts";
import { bindingsOf, sha256, versionDigest } from "./version-content.ts";

/** A version without its modules' content, for listings and for what comes after it. */
export interface StoredVersion extends ScriptVersionRow {
  readonly bindings: readonly WorkerBinding[];
}

export type NewVersion = Omit<ScriptVersionRow, "number" | "etag"> & {
  readonly bindings: readonly WorkerBinding[];
  readonly modules: readonly WorkerModule[];
};

export interface InsertedVersion extends StoredVersion {
  /** What the audit log has of it. */
  readonly digest: string;
}

/** Its number is one more than the highest of its script. */
export async function insertVersion(db: Database, version: NewVersion): Promise<InsertedVersion> {
  const { bindings, modules, ...columns } = version;
  const newest = await db
    .selectFrom("scriptVersions")
    .select("number")
    .where("scriptId", "=", version.scriptId)
    .orderBy("number", "desc")
    .limit(1)
    .executeTakeFirst();
  const hashed = modules.map((module) => ({ module, hash: sha256(module.content) }));
  const row = {
    ...columns,
    number: (newest?.number ?? 0) + 1,
    etag: sha256(hashed.map(({ module, hash }) => `${module.name} ${hash}\n`).join("")),
  };
  await db.insertInto("scriptVersions").values(row).execute();
  for (const [position, { module, hash }] of hashed.entries()) {
    const { name, type, content } = module;
    await db
      .insertInto("blobs")
      .values({ hash, content })
      .onConflict((o) => o.column("hash").doNothing())
      .execute();
    await db
      .insertInto("versionModules")
      .values({ versionId: row.id, position, name, type, blobHash: hash })
      .execute();
  }
  for (const [position, binding] of bindings.entries()) {
    const { name, type } = binding;
    const body = JSON.stringify(binding);
    await db
      .insertInto("versionBindings")
      .values({ versionId: row.id, position, name, type, target: targetOf(binding), body })
      .execute();
  }
  const content = hashed.map(({ module: { name, type }, hash }) => ({ name, type, hash }));
  return { ...row, bindings, digest: versionDigest({ ...row, bindings, modules: content }) };
}

/**
 * Removes what is older than the newest `keep` versions, and is not deployed. Deployments of them
 * are no longer known either.
 * @returns how many
 */
export async function pruneVersions(db: Database, scriptId: string, keep: number): Promise<number> {
  const current = db
    .selectFrom("deployments")
    .select("id")
    .where("scriptId", "=", scriptId)
    .orderBy("number", "desc")
    .limit(1);
  const old = await db
    .selectFrom("scriptVersions as v")
    .select("v.id")
    .where("v.scriptId", "=", scriptId)
    .where((e) =>
      e.not(
        e.exists(
          e
            .selectFrom("deploymentVersions as d")
            .select("d.versionId")
            .whereRef("d.versionId", "=", "v.id")
            .where("d.deploymentId", "in", current),
        ),
      ),
    )
    .orderBy("v.number", "desc")
    .offset(keep)
    .limit(1000)
    .execute();
  const ids = old.map(({ id }) => id);
  if (ids.length === 0) return 0;
  const modules = await db
    .selectFrom("versionModules")
    .select("blobHash")
    .distinct()
    .where("versionId", "in", ids)
    .execute();
  await db
    .deleteFrom("deployments")
    .where("id", "in", (e) =>
      e.selectFrom("deploymentVersions").select("deploymentId").where("versionId", "in", ids),
    )
    .execute();
  await db.deleteFrom("scriptVersions").where("id", "in", ids).execute();
  for (const { blobHash } of modules) {
    await db
      .deleteFrom("blobs")
      .where("hash", "=", blobHash)
      .where((e) =>
        e.not(
          e.exists(
            e
              .selectFrom("versionModules")
              .select("versionModules.versionId")
              .where("versionModules.blobHash", "=", blobHash),
          ),
        ),
      )
      .execute();
  }
  return ids.length;
}

export async function findVersion(
  db: Database,
  scriptId: string,
  id: string,
): Promise<StoredVersion | null> {
  const row = await db
    .selectFrom("scriptVersions")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .where("id", "=", id)
    .executeTakeFirst();
  return row ? withBindings(db, row) : null;
}

export async function newestVersion(db: Database, scriptId: string): Promise<StoredVersion | null> {
  const row = await db
    .selectFrom("scriptVersions")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .orderBy("number", "desc")
    .limit(1)
    .executeTakeFirst();
  return row ? withBindings(db, row) : null;
}

export interface PageQuery {
  /** From 1. */
  readonly page: number;
  readonly perPage: number;
}

/** Newest first. */
export async function listVersions(
  db: Database,
  scriptId: string,
  { page, perPage }: PageQuery,
): Promise<StoredVersion[]> {
  const rows = await db
    .selectFrom("scriptVersions")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .orderBy("number", "desc")
    .limit(perPage)
    .offset((page - 1) * perPage)
    .execute();
  return Promise.all(rows.map((row) => withBindings(db, row)));
}

/** What the edge runs: the version with the content of its modules. */
export async function workerVersion(
  db: Database,
  script: Pick<ScriptRow, "id" | "accountId" | "name" | "settings">,
  version: StoredVersion,
): Promise<WorkerVersion> {
  const key = { accountId: script.accountId, scriptName: script.name };
  const bound = await withKeepers(db, key, version.bindings);
  const bindings = withModes(bound, await inProcessBindings(db, key));
  return {
    ...key,
    versionId: version.id,
    mainModule: version.mainModule,
    modules: await loadModules(db, version.id),
    compatibilityDate: version.compatibilityDate,
    compatibilityFlags: version.compatibilityFlags,
    bindings,
    ...objectsOf(await namespacesOf(db, script.id)),
    ...workflowsAsRun(await workflowsOf(db, script.id)),
    ...limitsOf(versionSettings(version)),
    ...observabilityOf(script),
    ...(await assetsOf(db, script.accountId, versionSettings(version))),
    ...(await eventsOf(db, { id: version.scriptId })),
  };
}

export function versionSettings({ settings }: Pick<ScriptVersionRow, "settings">): VersionSettings {
  return settings;
}

/** As the edge reads them. */
export function limitsOf({ limits }: VersionSettings): Pick<WorkerVersion, "limits"> {
  return limits?.cpu_ms === undefined ? {} : { limits: { cpuMs: limits.cpu_ms } };
}

export async function loadModules(db: Database, versionId: string): Promise<WorkerModule[]> {
  const rows = await db
    .selectFrom("versionModules as m")
    .innerJoin("blobs as b", "b.hash", "m.blobHash")
    .select(["m.name", "m.type", "b.content"])
    .where("m.versionId", "=", versionId)
    .orderBy("m.position")
    .execute();
  return rows.map(({ name, type, content }) => ({ name, type: type as ModuleType, content }));
}

async function withBindings(db: Database, row: ScriptVersionRow): Promise<StoredVersion> {
  return { ...row, bindings: await bindingsOf(db, row.id) };
}

function targetOf(binding: WorkerBinding): string | null {
  switch (binding.type) {
    case "mtls_certificate":
      return binding.certificateId;
    case "service":
      return binding.service;
    case "durable_object_namespace":
      return binding.remote?.namespaceId ?? binding.className;
    case "kv_namespace":
      return binding.namespaceId;
    case "hyperdrive":
    case "d1":
      return binding.databaseId;
    case "r2_bucket":
      return binding.bucketName;
    case "queue":
      return binding.queueName;
    case "workflow":
      return binding.workflowName;
    default:
      return null;
  }
}
