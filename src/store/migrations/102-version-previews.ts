import type { Untyped } from "./untyped.ts";

/** Whether each version of a script answers at hosts of its own. */
export async function versionPreviews(db: Untyped): Promise<void> {
  await db.schema
    .alterTable("scripts")
    .addColumn("previews", "integer", (c) => c.notNull().defaultTo(0))
    .execute();
}
