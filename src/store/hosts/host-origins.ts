import type { Database } from "../database.ts";
import { proxiedNamesOfOthers } from "./dns-records.ts";
import type { HostOriginRow } from "../schema.ts";

/** By host. */
export function listHostOrigins(db: Database, accountId: string): Promise<HostOriginRow[]> {
  return db
    .selectFrom("hostOrigins")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("host")
    .execute();
}

/** Of any account. */
export async function originAtHost(db: Database, host: string): Promise<HostOriginRow | null> {
  const row = await db
    .selectFrom("hostOrigins")
    .selectAll()
    .where("host", "=", host)
    .executeTakeFirst();
  return row ?? null;
}

/** What the routes of one account must not overlap. */
export async function originHostsOfOthers(db: Database, accountId: string): Promise<string[]> {
  const rows = await db
    .selectFrom("hostOrigins")
    .select("host")
    .where("accountId", "!=", accountId)
    .execute();
  return [...rows.map(({ host }) => host), ...(await proxiedNamesOfOthers(db, accountId))];
}

export async function putHostOrigin(db: Database, row: HostOriginRow): Promise<void> {
  await db
    .insertInto("hostOrigins")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

export async function deleteHostOrigin(db: Database, id: string): Promise<void> {
  await db.deleteFrom("hostOrigins").where("id", "=", id).execute();
}

/** Whose connections present the certificate. */
export async function hostsThatPresent(
  db: Database,
  accountId: string,
  certificateId: string,
): Promise<string[]> {
  const rows = await listHostOrigins(db, accountId);
  return rows.filter((row) => row.certificateId === certificateId).map(({ host }) => host);
}
