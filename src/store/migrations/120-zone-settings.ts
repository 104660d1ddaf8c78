import type { Untyped } from "./untyped.ts";

/** What zones say of all their hosts at the ingress. */
export async function zoneSettings(db: Untyped): Promise<void> {
  await db.schema
    .createTable("zoneSettings")
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    // By name, as of certificates and records.
    .addColumn("zone", "text", (c) => c.notNull())
    // As Cloudflare calls it.
    .addColumn("setting", "text", (c) => c.notNull())
    // JSON.
    .addColumn("value", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("zoneSettingsPrimary", ["zone", "setting"])
    .execute();
}
