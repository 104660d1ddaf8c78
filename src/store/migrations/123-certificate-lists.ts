import type { Untyped } from "./untyped.ts";

/** What lists of many certificates need, so that a page of them costs what the page has. */
export async function certificateLists(db: Untyped): Promise<void> {
  await db.schema
    .createIndex("certificates_list_index")
    .on("certificates")
    .columns(["accountId", "uploadedOn", "id"])
    .execute();
  // Null: not judged yet, as with versions that were stored before.
  await db.schema.alterTable("certificateVersions").addColumn("warnings", "text").execute();
}
