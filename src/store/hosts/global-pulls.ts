import type { Database } from "../database.ts";
import type { GlobalPullZoneRow, PullAuthorityRow } from "../schema.ts";

/** The one that ends first is first. */
export function listPullAuthorities(db: Database): Promise<PullAuthorityRow[]> {
  return db.selectFrom("pullAuthorities").selectAll().orderBy("notAfter").orderBy("id").execute();
}

export async function insertPullAuthority(db: Database, row: PullAuthorityRow): Promise<void> {
  await db.insertInto("pullAuthorities").values(row).execute();
}

export async function deletePullAuthority(db: Database, id: string): Promise<void> {
  await db.deleteFrom("pullAuthorities").where("id", "=", id).execute();
}

export function listGlobalPullZones(db: Database, accountId: string): Promise<GlobalPullZoneRow[]> {
  return db.selectFrom("globalPullZones").selectAll().where("accountId", "=", accountId).execute();
}

export async function putGlobalPullZone(db: Database, row: GlobalPullZoneRow): Promise<void> {
  await db
    .insertInto("globalPullZones")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

/** Accounts with a zone whose origins are shown the global certificate. */
export async function accountsWithGlobalPulls(db: Database): Promise<string[]> {
  const rows = await db
    .selectFrom("globalPullZones")
    .select("accountId")
    .distinct()
    .where("enabled", "=", 1)
    .execute();
  return rows.map(({ accountId }) => accountId);
}
