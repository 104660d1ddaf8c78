import type { Untyped } from "./untyped.ts";

/** What a person has to know beside the password, and what stands in for it once each. */
export async function secondFactors(db: Untyped): Promise<void> {
  await db.schema
    .createTable("secondFactors")
    .addColumn("userId", "text", (c) => c.primaryKey().references("users.id").onDelete("cascade"))
    .addColumn("sealedSecret", "text", (c) => c.notNull())
    .addColumn("confirmedOn", "text")
    .addColumn("lastStep", "integer", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("recoveryCodes")
    .addColumn("userId", "text", (c) => c.notNull().references("users.id").onDelete("cascade"))
    .addColumn("hash", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("recovery_codes_key", ["userId", "hash"])
    .execute();
}
