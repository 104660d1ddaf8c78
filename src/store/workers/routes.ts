import type { RouteRow } from "../schema.ts";
import type { Database } from "../database.ts";

export interface RouteWithScript extends RouteRow {
  readonly scriptName: string;
}

export function listRoutes(db: Database, accountId: string): Promise<RouteWithScript[]> {
  return db
    .selectFrom("routes")
    .innerJoin("scripts", "scripts.id", "routes.scriptId")
    .selectAll("routes")
    .select("scripts.name as scriptName")
    .where("routes.accountId", "=", accountId)
    .orderBy("pattern")
    .execute();
}

/** Of any account: a host leads to one script on the whole platform. */
export function findPattern(db: Database, pattern: string): Promise<RouteWithScript | undefined> {
  return db
    .selectFrom("routes")
    .innerJoin("scripts", "scripts.id", "routes.scriptId")
    .selectAll("routes")
    .select("scripts.name as scriptName")
    .where("pattern", "=", pattern)
    .executeTakeFirst();
}

/** What the patterns of one account must not overlap. */
export async function patternsOfOthers(db: Database, accountId: string): Promise<string[]> {
  const rows = await db
    .selectFrom("routes")
    .select("pattern")
    .where("accountId", "!=", accountId)
    .execute();
  return rows.map(({ pattern }) => pattern);
}

export function routesOfScript(db: Database, scriptId: string): Promise<RouteRow[]> {
  return db
    .selectFrom("routes")
    .selectAll()
    .where("scriptId", "=", scriptId)
    .orderBy("pattern")
    .execute();
}

export async function insertRoute(db: Database, route: RouteRow): Promise<void> {
  await db.insertInto("routes").values(route).execute();
}

export async function deleteRoute(db: Database, id: string): Promise<void> {
  await db.deleteFrom("routes").where("id", "=", id).execute();
}

export async function deleteRoutesOfScript(
  db: Database,
  scriptId: string,
  kind: RouteRow["kind"],
): Promise<void> {
  await db.deleteFrom("routes").where("scriptId", "=", scriptId).where("kind", "=", kind).execute();
}
