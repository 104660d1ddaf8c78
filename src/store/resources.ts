import type { Database } from "./database.ts";
import type { ResourceKind, ResourceRow } from "./schema.ts";

export async function insertResource(db: Database, row: ResourceRow): Promise<void> {
  await db.insertInto("resources").values(row).execute();
}

export function findResource(
  db: Database,
  accountId: string,
  kind: ResourceKind,
  id: string,
): Promise<ResourceRow | undefined> {
  return ofAccount(db, accountId, kind).where("id", "=", id).executeTakeFirst();
}

export function findResourceByName(
  db: Database,
  accountId: string,
  kind: ResourceKind,
  name: string,
): Promise<ResourceRow | undefined> {
  return ofAccount(db, accountId, kind).where("name", "=", name).executeTakeFirst();
}

/** By name. */
export function listResources(
  db: Database,
  accountId: string,
  kind: ResourceKind,
): Promise<ResourceRow[]> {
  return ofAccount(db, accountId, kind).orderBy("name").execute();
}

export async function updateResource(
  db: Database,
  { accountId, id }: Pick<ResourceRow, "accountId" | "id">,
  change: Partial<Pick<ResourceRow, "name" | "settings" | "modifiedOn">>,
): Promise<void> {
  await db
    .updateTable("resources")
    .set(change)
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .execute();
}

export async function deleteResource(
  db: Database,
  { accountId, id }: Pick<ResourceRow, "accountId" | "id">,
): Promise<void> {
  await db
    .deleteFrom("resources")
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .execute();
}

export async function countResources(
  db: Database,
  accountId: string,
  kind: ResourceKind,
): Promise<number> {
  const { total } = await db
    .selectFrom("resources")
    .where("accountId", "=", accountId)
    .where("kind", "=", kind)
    .select((e) => e.fn.countAll<number | string>().as("total"))
    .executeTakeFirstOrThrow();
  return Number(total);
}

const ofAccount = (db: Database, accountId: string, kind: ResourceKind) =>
  db
    .selectFrom("resources")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("kind", "=", kind);
