import type { Change } from "../contract/change-feed.ts";
import type { ChangeRow } from "./schema.ts";
import type { Changed, Database } from "./database.ts";
import { prepared } from "./prepared.ts";

/** @returns the change's cursor, greater than any before it */
export async function recordChange(db: Database, change: Changed): Promise<number> {
  const { value: cursor } = await db
    .updateTable("counters")
    .set((e) => ({ value: e("value", "+", 1) }))
    .where("name", "=", "changes")
    .returning("value")
    .executeTakeFirstOrThrow();
  await db
    .insertInto("changes")
    .values({ kind: change.kind, accountId: change.accountId, key: keyOf(change), cursor })
    .onConflict((o) => o.columns(["kind", "accountId", "key"]).doUpdateSet({ cursor }))
    .execute();
  return cursor;
}

export async function newestCursor(db: Database): Promise<number> {
  const row = await db
    .selectFrom("counters")
    .select("value")
    .where("name", "=", "changes")
    .executeTakeFirstOrThrow();
  return row.value;
}

/** The changes after `cursor`, in order, at most `limit`. */
export async function changesAfter(db: Database, cursor: number, limit: number): Promise<Change[]> {
  return (await rowsAfter(db, { cursor, limit })).map(changeOf);
}

const rowsAfter = prepared(
  (db, { cursor, limit }: { readonly cursor: number; readonly limit: number }) =>
    db
      .selectFrom("changes")
      .selectAll()
      .where("cursor", ">", cursor)
      .orderBy("cursor")
      .limit(limit),
);

function keyOf(change: Changed): string {
  if (change.kind === "script" || change.kind === "identity") return change.scriptName;
  if (change.kind === "database") return change.databaseId;
  return change.kind === "certificate" ? change.certificateId : "";
}

function changeOf({ kind, accountId, key, cursor }: ChangeRow): Change {
  if (kind === "script" || kind === "identity") return { kind, accountId, scriptName: key, cursor };
  if (kind === "certificate") return { kind, accountId, certificateId: key, cursor };
  if (kind === "database") return { kind, accountId, databaseId: key, cursor };
  return { kind, accountId, cursor };
}
