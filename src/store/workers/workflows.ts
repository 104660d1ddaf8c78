import type { WorkflowClass } from "../../contract/change-feed.ts";
import type { Database } from "../database.ts";
import type { WorkflowRow } from "../schema.ts";

/** One that is not deleted, with the name of its script. */
export type LiveWorkflow = WorkflowRow & { readonly scriptId: string; readonly script: string };

/** In the order of their names. */
export async function workflowsOf(
  db: Database,
  scriptId: string | undefined,
): Promise<WorkflowRow[]> {
  if (scriptId === undefined) return [];
  const rows = await db
    .selectFrom("workflows")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .execute();
  return rows.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Of an account, in the order of their names. */
export async function listWorkflows(db: Database, accountId: string): Promise<LiveWorkflow[]> {
  return (await live(db, accountId).orderBy("workflows.name").execute()) as LiveWorkflow[];
}

export async function findWorkflow(
  db: Database,
  accountId: string,
  name: string,
): Promise<LiveWorkflow | null> {
  const row = await live(db, accountId).where("workflows.name", "=", name).executeTakeFirst();
  return (row as LiveWorkflow | undefined) ?? null;
}

/** Makes it, or has it run another class with other settings. */
export async function putWorkflow(db: Database, row: WorkflowRow): Promise<void> {
  const { scriptId, className, settings, modifiedOn } = row;
  await db
    .insertInto("workflows")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet({ scriptId, className, settings, modifiedOn }))
    .execute();
}

/** Its instances are removed when no process has them any more. */
export async function deleteWorkflow(db: Database, id: string): Promise<void> {
  await db.updateTable("workflows").set({ scriptId: null }).where("id", "=", id).execute();
}

/** Those whose instances are to be removed, of any account. */
export function deletedWorkflows(db: Database): Promise<WorkflowRow[]> {
  return db.selectFrom("workflows").selectAll().where("scriptId", "is", null).execute();
}

/** Its instances are removed. */
export async function forgetWorkflow(db: Database, id: string): Promise<void> {
  await db.deleteFrom("workflows").where("scriptId", "is", null).where("id", "=", id).execute();
}

/** As the edge runs them. */
export function workflowsAsRun(rows: readonly WorkflowRow[]): {
  readonly workflows?: readonly WorkflowClass[];
} {
  if (rows.length === 0) return {};
  const workflows = rows.map(({ id, name, className, settings }) => ({
    name,
    className,
    workflowId: id,
    ...settings,
  }));
  return { workflows };
}

const live = (db: Database, accountId: string) =>
  db
    .selectFrom("workflows")
    .innerJoin("scripts", "scripts.id", "workflows.scriptId")
    .selectAll("workflows")
    .select("scripts.name as script")
    .where("workflows.accountId", "=", accountId);
