import type { ObjectClass } from "../../contract/change-feed.ts";
import type { Database } from "../database.ts";
import type { ObjectNamespaceRow } from "../schema.ts";

/** In the order of their classes. */
export async function namespacesOf(
  db: Database,
  scriptId: string | undefined,
): Promise<ObjectNamespaceRow[]> {
  if (scriptId === undefined) return [];
  const rows = await db
    .selectFrom("objectNamespaces")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .execute();
  return rows.toSorted(byClass);
}

/** Of an account, with the name of the script. */
export function listNamespaces(
  db: Database,
  accountId: string,
): Promise<(ObjectNamespaceRow & { script: string })[]> {
  return db
    .selectFrom("objectNamespaces")
    .innerJoin("scripts", "scripts.id", "objectNamespaces.scriptId")
    .selectAll("objectNamespaces")
    .select("scripts.name as script")
    .where("objectNamespaces.accountId", "=", accountId)
    .orderBy("objectNamespaces.createdOn")
    .orderBy("objectNamespaces.id")
    .execute();
}

/** Those whose data are to be removed, of any account. */
export function deletedNamespaces(db: Database): Promise<ObjectNamespaceRow[]> {
  return db.selectFrom("objectNamespaces").selectAll().where("scriptId", "is", null).execute();
}

/** Their data are removed. */
export async function forgetNamespaces(db: Database, ids: readonly string[]): Promise<void> {
  await db
    .deleteFrom("objectNamespaces")
    .where("scriptId", "is", null)
    .where("id", "in", [...ids])
    .execute();
}

/** Has the script keep the objects of these classes, and of no other. */
export async function setNamespaces(
  db: Database,
  scriptId: string,
  rows: readonly ObjectNamespaceRow[],
): Promise<void> {
  const keep = new Set(rows.map(({ id }) => id));
  const gone = (await namespacesOf(db, scriptId)).filter(({ id }) => !keep.has(id));
  for (const { id } of gone) {
    const change = { scriptId: null };
    await db.updateTable("objectNamespaces").set(change).where("id", "=", id).execute();
  }
  for (const row of rows) {
    const { className } = row;
    await db
      .insertInto("objectNamespaces")
      .values({ ...row, scriptId })
      .onConflict((o) => o.column("id").doUpdateSet({ scriptId, className }))
      .execute();
  }
}

/** As the edge runs them. */
export function objectsOf(rows: readonly ObjectNamespaceRow[]): {
  readonly objects?: readonly ObjectClass[];
} {
  if (rows.length === 0) return {};
  const objects = rows
    .toSorted(byClass)
    .map(({ id, className, usesSql }) => ({ className, namespaceId: id, sql: usesSql === 1 }));
  return { objects };
}

function byClass(a: ObjectNamespaceRow, b: ObjectNamespaceRow): number {
  return a.className < b.className ? -1 : 1;
}
