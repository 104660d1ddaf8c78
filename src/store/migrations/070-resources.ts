import type { Untyped } from "./untyped.ts";

/** What Workers keep beside their code: namespaces, databases, buckets, queues. */
export async function resources(db: Untyped): Promise<void> {
  await db.schema
    .createTable("resources")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("kind", "text", (c) => c.notNull())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("settings", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("resources_name", ["accountId", "kind", "name"])
    .execute();
}
