import type { ZoneRow } from "../schema.ts";
import type { Database } from "../database.ts";
import { deletePullsOfZone } from "./origin-pulls.ts";

/** The zones that an account has made, by name. */
export function listZones(db: Database, accountId: string): Promise<ZoneRow[]> {
  return db
    .selectFrom("zones")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("name")
    .execute();
}

/** Of any account. */
export async function zoneByName(db: Database, name: string): Promise<ZoneRow | null> {
  const row = await db.selectFrom("zones").selectAll().where("name", "=", name).executeTakeFirst();
  return row ?? null;
}

export async function insertZone(db: Database, row: ZoneRow): Promise<void> {
  await db.insertInto("zones").values(row).execute();
}

/** With the certificates of its hosts, its DNS records and its settings. */
export async function deleteZone(db: Database, { id, accountId, name }: ZoneRow): Promise<void> {
  await db
    .deleteFrom("hostCertificates")
    .where("accountId", "=", accountId)
    .where("zone", "=", name)
    .execute();
  await db
    .deleteFrom("dnsRecords")
    .where("accountId", "=", accountId)
    .where("zone", "=", name)
    .execute();
  await db
    .deleteFrom("zoneSettings")
    .where("accountId", "=", accountId)
    .where("zone", "=", name)
    .execute();
  await deletePullsOfZone(db, accountId, name);
  await db.deleteFrom("zones").where("id", "=", id).execute();
}
