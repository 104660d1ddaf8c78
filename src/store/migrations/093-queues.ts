import type { Untyped } from "./untyped.ts";

/** Which Worker a queue's messages go to. */
export async function queues(db: Untyped): Promise<void> {
  await db.schema
    .createTable("queueConsumers")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("queueId", "text", (c) =>
      c.notNull().unique().references("resources.id").onDelete("cascade"),
    )
    .addColumn("scriptId", "text", (c) => c.notNull().references("scripts.id").onDelete("cascade"))
    .addColumn("deadLetterQueue", "text")
    .addColumn("settings", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
}
