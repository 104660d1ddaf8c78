import type { Untyped } from "./untyped.ts";

export async function begin(db: Untyped): Promise<void> {
  await accounts(db);
  await certificates(db);
  await scripts(db);
  await versions(db);
  await deployments(db);
  await changes(db);
  await proxiedZones(db);
  await masterKey(db);
  await audit(db);
}

async function accounts(db: Untyped): Promise<void> {
  await db.schema
    .createTable("accounts")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("subdomain", "text", (c) => c.unique())
    .addColumn("shortHosts", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .execute();
  await people(db);
  await db.schema
    .createTable("tokens")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("userId", "text", (c) => c.references("users.id").onDelete("cascade"))
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("email", "text", (c) => c.notNull())
    .addColumn("hash", "text", (c) => c.notNull().unique())
    .addColumn("scopes", "text", (c) => c.notNull())
    .addColumn("policies", "text")
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addColumn("notBefore", "text")
    .addColumn("expiresOn", "text")
    .addColumn("requestIp", "text")
    .addColumn("disabled", "integer", (c) => c.notNull())
    .addColumn("revokedOn", "text")
    .execute();
  await index(db, "tokens", "userId");
}

async function people(db: Untyped): Promise<void> {
  await db.schema
    .createTable("users")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("email", "text", (c) => c.notNull().unique())
    .addColumn("passwordHash", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("updatedOn", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("memberships")
    .addColumn("userId", "text", (c) => c.notNull().references("users.id").onDelete("cascade"))
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("role", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("memberships_key", ["userId", "accountId"])
    .execute();
  await db.schema
    .createTable("oauthRecords")
    .addColumn("model", "text", (c) => c.notNull())
    .addColumn("idHash", "text", (c) => c.notNull())
    .addColumn("payload", "text", (c) => c.notNull())
    .addColumn("userId", "text", (c) => c.references("users.id").onDelete("cascade"))
    .addColumn("grantId", "text")
    .addColumn("uid", "text")
    .addColumn("consumedOn", "text")
    .addColumn("expiresOn", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("oauth_records_key", ["model", "idHash"])
    .execute();
  for (const column of ["userId", "grantId", "uid", "expiresOn"])
    await index(db, "oauthRecords", column);
}

async function audit(db: Untyped): Promise<void> {
  await db.schema
    .createTable("auditEntries")
    .addColumn("sequence", "integer", (c) => c.primaryKey())
    .addColumn("id", "text", (c) => c.notNull().unique())
    .addColumn("accountId", "text")
    .addColumn("at", "text", (c) => c.notNull())
    .addColumn("action", "text", (c) => c.notNull())
    .addColumn("email", "text", (c) => c.notNull())
    .addColumn("body", "text", (c) => c.notNull())
    .addColumn("hash", "text", (c) => c.notNull())
    .execute();
  await index(db, "auditEntries", "accountId");
  await db.schema
    .createTable("auditHeads")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("sequence", "integer", (c) => c.notNull())
    .addColumn("hash", "text", (c) => c.notNull())
    .addColumn("sealed", "text")
    .execute();
  const nothing = { id: "head", sequence: 0, hash: "0".repeat(64), sealed: null };
  await db.insertInto("auditHeads").values(nothing).execute();
}

async function certificates(db: Untyped): Promise<void> {
  await db.schema
    .createTable("certificates")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("name", "text")
    .addColumn("ca", "integer", (c) => c.notNull())
    .addColumn("activeVersion", "integer", (c) => c.notNull())
    .addColumn("allowedHosts", "text")
    .addColumn("tied", "integer", (c) => c.notNull())
    .addColumn("uploadedOn", "text", (c) => c.notNull())
    .addColumn("updatedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("certificates_name", ["accountId", "name"])
    .execute();
  await db.schema
    .createTable("certificateVersions")
    .addColumn("certificateId", "text", (c) =>
      c.notNull().references("certificates.id").onDelete("cascade"),
    )
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("chain", "text", (c) => c.notNull())
    .addColumn("sealedKey", "text")
    .addColumn("subject", "text", (c) => c.notNull())
    .addColumn("issuer", "text", (c) => c.notNull())
    .addColumn("serialNumber", "text", (c) => c.notNull())
    .addColumn("signature", "text", (c) => c.notNull())
    .addColumn("notBefore", "text", (c) => c.notNull())
    .addColumn("notAfter", "text", (c) => c.notNull())
    .addColumn("fingerprint", "text", (c) => c.notNull())
    .addColumn("contentHash", "text", (c) => c.notNull())
    .addColumn("names", "text", (c) => c.notNull())
    .addColumn("keyKind", "text", (c) => c.notNull())
    .addColumn("publicKeyHash", "text", (c) => c.notNull())
    .addColumn("uploadedOn", "text", (c) => c.notNull())
    .addColumn("revokedOn", "text")
    .addPrimaryKeyConstraint("certificate_versions_key", ["certificateId", "version"])
    .addUniqueConstraint("certificate_versions_content", ["accountId", "contentHash"])
    .execute();
  await index(db, "certificateVersions", "notAfter");
  await db.schema
    .createTable("authorityTies")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("authorityId", "text", (c) =>
      c.notNull().references("certificates.id").onDelete("cascade"),
    )
    .addColumn("certificateId", "text", (c) => c.references("certificates.id").onDelete("cascade"))
    .addColumn("host", "text")
    .execute();
  await index(db, "authorityTies", "accountId");
  await index(db, "authorityTies", "authorityId");
  await index(db, "authorityTies", "certificateId");
  await keeping(db);
}

/** What happens to certificates once they are there. */
async function keeping(db: Untyped): Promise<void> {
  await db.schema
    .createTable("certificateEvents")
    .addColumn("certificateId", "text", (c) =>
      c.notNull().references("certificates.id").onDelete("cascade"),
    )
    .addColumn("kind", "text", (c) => c.notNull())
    .addColumn("at", "text", (c) => c.notNull())
    .addColumn("body", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("certificate_events_key", ["certificateId", "kind"])
    .execute();
  await db.schema
    .createTable("certificateSources")
    .addColumn("certificateId", "text", (c) =>
      c.primaryKey().references("certificates.id").onDelete("cascade"),
    )
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("folder", "text", (c) => c.notNull())
    .addColumn("certificateFile", "text")
    .addColumn("keyFile", "text")
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("takenOn", "text")
    .addColumn("failedOn", "text")
    .addColumn("failure", "text")
    .execute();
  await db.schema
    .createTable("expiryNotices")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("certificateId", "text", (c) => c.notNull())
    .addColumn("version", "integer", (c) => c.notNull())
    .addColumn("threshold", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("attempts", "integer", (c) => c.notNull())
    .addColumn("nextAttemptOn", "text")
    .addColumn("deliveredOn", "text")
    .addColumn("lastError", "text")
    .addForeignKeyConstraint(
      "expiry_notices_version",
      ["certificateId", "version"],
      "certificateVersions",
      ["certificateId", "version"],
      (c) => c.onDelete("cascade"),
    )
    .addUniqueConstraint("expiry_notices_threshold", ["certificateId", "version", "threshold"])
    .execute();
  await index(db, "expiryNotices", "nextAttemptOn");
  await db.schema
    .createTable("webhooks")
    .addColumn("accountId", "text", (c) => c.primaryKey().references("accounts.id"))
    .addColumn("url", "text", (c) => c.notNull())
    .addColumn("sealedSecret", "text", (c) => c.notNull())
    .addColumn("updatedOn", "text", (c) => c.notNull())
    .execute();
}

async function scripts(db: Untyped): Promise<void> {
  await db.schema
    .createTable("scripts")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("workersDev", "integer", (c) => c.notNull())
    .addColumn("settings", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addColumn("modifiedOn", "text", (c) => c.notNull())
    .addUniqueConstraint("scripts_name", ["accountId", "name"])
    .execute();
  await db.schema
    .createTable("routes")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("scriptId", "text", (c) => c.notNull().references("scripts.id").onDelete("cascade"))
    .addColumn("kind", "text", (c) => c.notNull())
    .addColumn("pattern", "text", (c) => c.notNull().unique())
    .execute();
  await index(db, "routes", "scriptId");
}

async function versions(db: Untyped): Promise<void> {
  await db.schema
    .createTable("scriptVersions")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("scriptId", "text", (c) => c.notNull().references("scripts.id").onDelete("cascade"))
    .addColumn("number", "integer", (c) => c.notNull())
    .addColumn("mainModule", "text", (c) => c.notNull())
    .addColumn("compatibilityDate", "text", (c) => c.notNull())
    .addColumn("compatibilityFlags", "text", (c) => c.notNull())
    .addColumn("annotations", "text", (c) => c.notNull())
    .addColumn("author", "text", (c) => c.notNull())
    .addColumn("source", "text", (c) => c.notNull())
    .addColumn("etag", "text", (c) => c.notNull())
    .addColumn("startupTimeMs", "integer", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addUniqueConstraint("script_versions_number", ["scriptId", "number"])
    .execute();
  await db.schema
    .createTable("blobs")
    .addColumn("hash", "text", (c) => c.primaryKey())
    .addColumn("content", "bytea", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("versionModules")
    .addColumn("versionId", "text", (c) =>
      c.notNull().references("scriptVersions.id").onDelete("cascade"),
    )
    .addColumn("position", "integer", (c) => c.notNull())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("type", "text", (c) => c.notNull())
    .addColumn("blobHash", "text", (c) => c.notNull().references("blobs.hash"))
    .addPrimaryKeyConstraint("version_modules_key", ["versionId", "name"])
    .execute();
  await index(db, "versionModules", "blobHash");
  await db.schema
    .createTable("versionBindings")
    .addColumn("versionId", "text", (c) =>
      c.notNull().references("scriptVersions.id").onDelete("cascade"),
    )
    .addColumn("position", "integer", (c) => c.notNull())
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("type", "text", (c) => c.notNull())
    .addColumn("target", "text")
    .addColumn("body", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("version_bindings_key", ["versionId", "name"])
    .execute();
  await index(db, "versionBindings", "target");
  await db.schema
    .createTable("bindingModes")
    .addColumn("scriptId", "text", (c) => c.notNull().references("scripts.id").onDelete("cascade"))
    .addColumn("name", "text", (c) => c.notNull())
    .addColumn("mode", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("binding_modes_key", ["scriptId", "name"])
    .execute();
}

async function proxiedZones(db: Untyped): Promise<void> {
  await db.schema
    .createTable("proxiedZones")
    .addColumn("accountId", "text", (c) => c.notNull().references("accounts.id"))
    .addColumn("name", "text", (c) => c.notNull())
    .addPrimaryKeyConstraint("proxied_zones_key", ["accountId", "name"])
    .execute();
}

async function deployments(db: Untyped): Promise<void> {
  await db.schema
    .createTable("deployments")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("scriptId", "text", (c) => c.notNull().references("scripts.id").onDelete("cascade"))
    .addColumn("number", "integer", (c) => c.notNull())
    .addColumn("annotations", "text", (c) => c.notNull())
    .addColumn("author", "text", (c) => c.notNull())
    .addColumn("source", "text", (c) => c.notNull())
    .addColumn("createdOn", "text", (c) => c.notNull())
    .addUniqueConstraint("deployments_number", ["scriptId", "number"])
    .execute();
  await db.schema
    .createTable("deploymentVersions")
    .addColumn("deploymentId", "text", (c) =>
      c.notNull().references("deployments.id").onDelete("cascade"),
    )
    .addColumn("versionId", "text", (c) =>
      c.notNull().references("scriptVersions.id").onDelete("cascade"),
    )
    .addColumn("percentage", "real", (c) => c.notNull())
    .addPrimaryKeyConstraint("deployment_versions_key", ["deploymentId", "versionId"])
    .execute();
  await index(db, "deploymentVersions", "versionId");
}

async function changes(db: Untyped): Promise<void> {
  await db.schema
    .createTable("changes")
    .addColumn("kind", "text", (c) => c.notNull())
    .addColumn("accountId", "text", (c) => c.notNull())
    .addColumn("key", "text", (c) => c.notNull())
    .addColumn("cursor", "integer", (c) => c.notNull().unique())
    .addPrimaryKeyConstraint("changes_key", ["kind", "accountId", "key"])
    .execute();
  await db.schema
    .createTable("counters")
    .addColumn("name", "text", (c) => c.primaryKey())
    .addColumn("value", "integer", (c) => c.notNull())
    .execute();
  await db.insertInto("counters").values({ name: "changes", value: 0 }).execute();
}

async function masterKey(db: Untyped): Promise<void> {
  await db.schema
    .createTable("masterKeyChecks")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("sealed", "text", (c) => c.notNull())
    .execute();
  await db.schema
    .createTable("masterKeyChanges")
    .addColumn("id", "text", (c) => c.primaryKey())
    .addColumn("sealed", "text", (c) => c.notNull())
    .addColumn("begunOn", "text", (c) => c.notNull())
    .execute();
}

async function index(db: Untyped, table: string, column: string): Promise<void> {
  await db.schema.createIndex(`${table}_${column}_index`).on(table).column(column).execute();
}
