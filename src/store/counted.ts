import type { Database } from "./database.ts";
import type { Tables } from "./schema.ts";

/** Tables whose rows are an account's own. */
export type CountedTable = {
  [T in keyof Tables]: Tables[T] extends { readonly accountId: string } ? T : never;
}[keyof Tables];

/** How many rows of a table an account has. */
export async function countRows(
  db: Database,
  table: CountedTable,
  accountId: string,
): Promise<number> {
  const { total } = await db
    .selectFrom(table as "routes")
    .where("accountId", "=", accountId)
    .select((e) => e.fn.countAll<number | string>().as("total"))
    .executeTakeFirstOrThrow();
  return Number(total);
}
