import type { Untyped } from "./untyped.ts";

/** Certificates of hosts that an ACME server issues. */
export async function acme(db: Untyped): Promise<void> {
  await db.schema
    .createTable("acmeAccounts")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("directory", "text", (c) => c.notNull())
    .addColumn("email", "text")
    .addColumn("authority", "text")
    .addColumn("sealedKey", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("acme_accounts_directory_index")
    .on("acmeAccounts")
    .columns(["accountId", "directory"])
    .unique()
    .execute();
  await db.schema
    .createTable("acmeChallenges")
    .addColumn("token", "text", (c) => c.notNull())
    .addColumn("host", "text", (c) => c.notNull())
    .addColumn("accountId", "text", (c) =>
      c.notNull().references("accounts.id").onDelete("cascade"),
    )
    .addColumn("keyAuthorization", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("acme_challenges_key", ["host", "token"])
    .execute();
  const table = (): ReturnType<typeof db.schema.alterTable> =>
    db.schema.alterTable("hostCertificates");
  await table().addColumn("acmeAccountId", "text").execute();
  await table()
    .addColumn("acmeFailures", "integer", (c) => c.notNull().defaultTo(0))
    .execute();
  await table().addColumn("acmeFailure", "text").execute();
  await table().addColumn("acmeNextOn", "text").execute();
}
