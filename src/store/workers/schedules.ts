import type { ScriptKey, WorkerVersion } from "../../contract/change-feed.ts";
import type { Database } from "../database.ts";
import { consumersOfScript } from "./queues.ts";
import type { ScheduleRow } from "../schema.ts";

/** By expression. */
export function schedulesOf(db: Database, scriptId: string): Promise<ScheduleRow[]> {
  return db
    .selectFrom("schedules")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .orderBy("cron")
    .execute();
}

/** How many the account's other scripts have. */
export async function countOtherSchedules(
  db: Database,
  accountId: string,
  scriptId: string,
): Promise<number> {
  const { count } = await db
    .selectFrom("schedules")
    .innerJoin("scripts", "scripts.id", "schedules.scriptId")
    .select((e) => e.fn.countAll<number | string>().as("count"))
    .where("scripts.accountId", "=", accountId)
    .where("scripts.id", "!=", scriptId)
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function insertSchedule(db: Database, row: ScheduleRow): Promise<void> {
  await db.insertInto("schedules").values(row).execute();
}

export async function deleteSchedule(db: Database, id: string): Promise<void> {
  await db.deleteFrom("schedules").where("id", "=", id).execute();
}

export interface DeployedSchedule extends ScheduleRow, ScriptKey {}

/** Those of every account, as far as their scripts are deployed. */
export function deployedSchedules(db: Database): Promise<DeployedSchedule[]> {
  return db
    .selectFrom("schedules as c")
    .innerJoin("scripts as s", "s.id", "c.scriptId")
    .selectAll("c")
    .select(["s.accountId", "s.name as scriptName"])
    .where((e) =>
      e.exists(e.selectFrom("deployments as d").select("d.id").whereRef("d.scriptId", "=", "s.id")),
    )
    .execute();
}

/**
 * Claims the run of a minute: only one caller gets it.
 * @returns false if another has it, or the trigger is gone
 */
export async function claimRun(
  db: Database,
  { id, ranUpTo }: Pick<ScheduleRow, "id" | "ranUpTo">,
  minute: string,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("schedules")
    .set({ ranUpTo: minute })
    .where("id", "=", id)
    .where("ranUpTo", "=", ranUpTo)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}

/** Does the platform itself call the Worker? Its processes then have a socket for this. */
export async function eventsOf(
  db: Database,
  script: { readonly id: string } | null,
): Promise<Pick<WorkerVersion, "takesEvents">> {
  if (script === null) return {};
  const found = await db
    .selectFrom("schedules")
    .select("id")
    .where("scriptId", "=", script.id)
    .limit(1)
    .executeTakeFirst();
  if (found !== undefined) return { takesEvents: true };
  const consumed = await consumersOfScript(db, script.id);
  return consumed.length === 0 ? {} : { takesEvents: true };
}
