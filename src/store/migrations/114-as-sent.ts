import type { Untyped } from "./untyped.ts";

/** What decides nothing and is told as it was sent: Terraform plans a change of what reads otherwise. */
export async function asSent(db: Untyped): Promise<void> {
  await db.schema.alterTable("accessPolicies").addColumn("sessionDuration", "text").execute();
  await db.schema
    .alterTable("hostAuthorities")
    .addColumn("position", "integer", (c) => c.notNull().defaultTo(0))
    .execute();
}
