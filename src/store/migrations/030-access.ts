import type { Untyped } from "./untyped.ts";

/** Access: applications, policies, service tokens, CAs of clients, keys that sign assertions. */
export async function access(db: Untyped): Promise<void> {
  const table = (name: string, columns: readonly string[], optional: readonly string[] = []) => {
    let made = db.schema
      .createTable(name)
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("accountId", "text", (c) =>
        c.notNull().references("accounts.id").onDelete("cascade"),
      )
      .addColumn("createdOn", "text", (c) => c.notNull());
    for (const column of columns) made = made.addColumn(column, "text", (c) => c.notNull());
    for (const column of optional) made = made.addColumn(column, "text");
    return made;
  };
  await table("accessApplications", [
    "name",
    "aud",
    "domains",
    "policies",
    "settings",
    "updatedOn",
  ]).execute();
  await table("accessPolicies", ["name", "decision", "rules", "updatedOn"])
    .addColumn("applicationId", "text", (c) =>
      c.references("accessApplications.id").onDelete("cascade"),
    )
    .execute();
  await table("accessAuthorities", [
    "name",
    "certificate",
    "fingerprint",
    "hosts",
    "expiresOn",
    "updatedOn",
  ]).execute();
  await table("accessKeys", ["publicKey", "sealedKey"]).execute();
  await table(
    "serviceTokens",
    ["name", "clientId", "secretHash", "duration", "updatedOn"],
    ["previousHash", "previousUntil", "expiresOn"],
  )
    .addColumn("secretVersion", "integer", (c) => c.notNull())
    .addColumn("enabled", "integer", (c) => c.notNull())
    .execute();
  await db.schema
    .createIndex("service_tokens_client_id")
    .on("serviceTokens")
    .column("clientId")
    .unique()
    .execute();
}
