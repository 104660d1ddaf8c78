import type { Untyped } from "./untyped.ts";

/** Settings of versions (limits, placement, handlers), and limits of accounts. */
export async function settings(db: Untyped): Promise<void> {
  for (const [table, column] of [
    ["scriptVersions", "settings"],
    ["accounts", "limits"],
  ] as const) {
    await db.schema
      .alterTable(table)
      .addColumn(column, "text", (c) => c.notNull().defaultTo("{}"))
      .execute();
  }
}
