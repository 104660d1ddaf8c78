import type { Untyped } from "./untyped.ts";

/** Notices of what hosts present to clients, and origin pulls to origins, as of bindings' certificates. */
export async function presentedNotices(db: Untyped): Promise<void> {
  await db.schema
    .createTable("presentedNotices")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("kind", "text", (c) => c.notNull())
    .addColumn("certificateId", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .addColumn("threshold", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("attempts", "integer", (c) => c.notNull())
    .addColumn("nextAttemptOn", "text")
    .addColumn("deliveredOn", "text")
    .addColumn("lastError", "text")
    .addUniqueConstraint("presented_notices_threshold", [
      "kind",
      "certificateId",
      "notAfter",
      "threshold",
    ])
    .execute();
  await db.schema
    .createIndex("presented_notices_next")
    .on("presentedNotices")
    .column("nextAttemptOn")
    .execute();
}
