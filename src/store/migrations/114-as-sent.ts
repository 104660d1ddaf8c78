import type { Untyped } from "./untyped.ts";

/**
 * Fields without an effect, which are returned as they were sent. Otherwise Terraform would plan a
 * change.
 */
export async function asSent(db: Untyped): Promise<void> {
  await db.schema.alterTable("accessPolicies").addColumn("sessionDuration", "text").execute();
  await db.schema
    .alterTable("hostAuthorities")
    .addColumn("position", "integer", (c) => c.notNull().defaultTo(0))
    .execute();
}
