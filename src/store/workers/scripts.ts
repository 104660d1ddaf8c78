import type { ScriptKey } from "../../contract/change-feed.ts";
import type { ScriptRow } from "../schema.ts";
import type { Database } from "../database.ts";

/** It has migrated nothing yet. */
export type NewScript = Omit<ScriptRow, "migrationTag">;

export async function insertScript(db: Database, script: NewScript): Promise<void> {
  await db.insertInto("scripts").values(script).execute();
}

export function findScript(db: Database, key: ScriptKey): Promise<ScriptRow | undefined> {
  return db
    .selectFrom("scripts")
    .selectAll()
    .where("accountId", "=", key.accountId)
    .where("name", "=", key.scriptName)
    .executeTakeFirst();
}

export function findScriptById(
  db: Database,
  accountId: string,
  id: string,
): Promise<ScriptRow | undefined> {
  return db
    .selectFrom("scripts")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .executeTakeFirst();
}

export function listScripts(db: Database, accountId: string): Promise<ScriptRow[]> {
  return db
    .selectFrom("scripts")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("name")
    .execute();
}

export async function updateScript(
  db: Database,
  id: string,
  change: Partial<
    Pick<ScriptRow, "workersDev" | "previews" | "settings" | "modifiedOn" | "migrationTag">
  >,
): Promise<void> {
  await db.updateTable("scripts").set(change).where("id", "=", id).execute();
}

/** With its versions, deployments and routes, and the modules no other version has. */
export async function deleteScript(db: Database, id: string): Promise<void> {
  // The audit log says of each route what became of it, so the foreign key does not do it.
  await db.deleteFrom("routes").where("scriptId", "=", id).execute();
  await db.deleteFrom("scripts").where("id", "=", id).execute();
  await db
    .deleteFrom("blobs")
    .where((e) =>
      e.not(
        e.exists(
          e
            .selectFrom("versionModules")
            .select("versionModules.versionId")
            .whereRef("versionModules.blobHash", "=", "blobs.hash"),
        ),
      ),
    )
    .execute();
}
