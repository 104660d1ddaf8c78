import type { Untyped } from "./untyped.ts";

/** Where the objects of a class of Durable Objects are kept, and how far a script has migrated. */
export async function objectNamespaces(db: Untyped): Promise<void> {
  await db.schema
    .createTable("objectNamespaces")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    // Null: what is in it is to be removed.
    .addColumn("scriptId", "text", (c) => c.references("scripts.id").onDelete("set null"))
    .addColumn("className", "text", (c) => c.notNull())
    .addColumn("usesSql", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await db.schema.alterTable("scripts").addColumn("migrationTag", "text").execute();
}
