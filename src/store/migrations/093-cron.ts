import type { Untyped } from "./untyped.ts";

/** When the platform calls a Worker by itself. */
export async function cron(db: Untyped): Promise<void> {
  await db.schema
    .createTable("schedules")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("scriptId", "text", (c) => c.notNull().references("scripts.id").onDelete("cascade"))
    .addColumn("cron", "text", (c) => c.notNull())
    .addColumn("ranUpTo", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("schedules_cron", ["scriptId", "cron"])
    .execute();
}
