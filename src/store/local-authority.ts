import type { LocalAuthorityRow } from "./schema.ts";
import type { Database } from "./database.ts";

const ID = "local";

export async function readLocalAuthority(db: Database): Promise<LocalAuthorityRow | null> {
  const row = await db
    .selectFrom("localAuthorities")
    .selectAll()
    .where("id", "=", ID)
    .executeTakeFirst();
  return row ?? null;
}

export async function putLocalAuthority(
  db: Database,
  authority: Omit<LocalAuthorityRow, "id">,
): Promise<void> {
  const row = { ...authority, id: ID };
  await db
    .insertInto("localAuthorities")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}
