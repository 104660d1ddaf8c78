import type { Untyped } from "./untyped.ts";

/** The token that a token was made with: it ends with it. Those from before have none. */
export async function makers(db: Untyped): Promise<void> {
  await db.schema.alterTable("tokens").addColumn("madeBy", "text").execute();
  await db.schema.createIndex("tokens_made_by").on("tokens").column("madeBy").execute();
}
