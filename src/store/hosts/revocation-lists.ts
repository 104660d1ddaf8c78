import type { Database } from "../database.ts";
import { tooFarAhead } from "../due.ts";
import type { RevocationListRow } from "../schema.ts";

/** Seconds between two looks at a list. */
export const LONGEST_LIST_INTERVAL = 86_400;

/** Oldest first. */
export function listRevocationLists(db: Database, accountId: string): Promise<RevocationListRow[]> {
  return db
    .selectFrom("revocationLists")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn")
    .orderBy("id")
    .execute();
}

export async function findRevocationList(
  db: Database,
  accountId: string,
  id: string,
): Promise<RevocationListRow | null> {
  const row = await db
    .selectFrom("revocationLists")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .executeTakeFirst();
  return row ?? null;
}

/** Of all accounts, the longest overdue first. */
export function dueRevocationLists(
  db: Database,
  now: Date,
  most: number,
): Promise<RevocationListRow[]> {
  return db
    .selectFrom("revocationLists")
    .selectAll()
    .where((e) =>
      e.or([
        e("nextCheckOn", "<=", now.toISOString()),
        e("nextCheckOn", ">", tooFarAhead(now, LONGEST_LIST_INTERVAL * 1000)),
      ]),
    )
    .orderBy("nextCheckOn")
    .limit(most)
    .execute();
}

/** In place of one with the same id. */
export async function putRevocationList(db: Database, row: RevocationListRow): Promise<void> {
  await db
    .insertInto("revocationLists")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

export async function updateRevocationList(
  db: Database,
  id: string,
  change: Partial<Omit<RevocationListRow, "id" | "accountId">>,
): Promise<void> {
  await db.updateTable("revocationLists").set(change).where("id", "=", id).execute();
}

export async function deleteRevocationList(db: Database, id: string): Promise<void> {
  await db.deleteFrom("revocationLists").where("id", "=", id).execute();
}

/** What they say, as the ingress reads it: a serial number, a space and its issuer. */
export async function revokedByLists(db: Database, accountId: string): Promise<readonly string[]> {
  const rows = await db
    .selectFrom("revocationLists")
    .select(["issuer", "serials"])
    .where("accountId", "=", accountId)
    .execute();
  return rows.flatMap(({ issuer, serials }) =>
    serials === "" ? [] : serials.split("\n").map((serial) => `${serial} ${issuer}`),
  );
}
