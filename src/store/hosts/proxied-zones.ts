import type { Database } from "../database.ts";

/** Zones behind another proxy: bindings answer 520 for their hosts. By name. */
export async function listProxiedZones(db: Database, accountId: string): Promise<string[]> {
  const rows = await db
    .selectFrom("proxiedZones")
    .select("name")
    .where("accountId", "=", accountId)
    .orderBy("name")
    .execute();
  return rows.map(({ name }) => name);
}

export async function replaceProxiedZones(
  db: Database,
  accountId: string,
  names: readonly string[],
): Promise<void> {
  await db.deleteFrom("proxiedZones").where("accountId", "=", accountId).execute();
  if (names.length === 0) return;
  await db
    .insertInto("proxiedZones")
    .values(names.map((name) => ({ accountId, name })))
    .execute();
}
