import type { Untyped } from "./untyped.ts";

/** How long a key of Access signs, where an account has said so. */
export async function accessKeyIntervals(db: Untyped): Promise<void> {
  await db.schema
    .createTable("accessKeyIntervals")
    .addColumn("accountId", "text", (c) =>
      c.primaryKey().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("days", "integer", (c) => c.notNull())
    .execute();
}
