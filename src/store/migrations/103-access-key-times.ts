import type { Untyped } from "./untyped.ts";

/** When a key of Access begins to sign: the next one is published before. */
export async function accessKeyTimes(db: Untyped): Promise<void> {
  await db.schema
    .alterTable("accessKeys")
    .addColumn("signsFrom", "text", (c) => c.notNull().defaultTo(""))
    .execute();
  await db
    .updateTable("accessKeys")
    .set((eb: { ref(name: string): unknown }) => ({ signsFrom: eb.ref("createdOn") }))
    .execute();
}
