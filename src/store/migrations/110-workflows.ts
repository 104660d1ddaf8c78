import type { Untyped } from "./untyped.ts";

/** The Workflows of scripts: which class runs each, and where its instances are kept. */
export async function workflows(db: Untyped): Promise<void> {
  await db.schema
    .createTable("workflows")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    // Null: it is deleted, and its instances are to be removed.
    .addColumn("scriptId", "text", (c) => c.references("scripts.id").onDelete("set null"))
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("className", "text", (c) => c.notNull())
    .addColumn("settings", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("workflowsByName")
    .on("workflows")
    .columns(["accountId", "name"])
    .execute();
}
