import { sql } from "kysely";
import type { AssetFile, WorkerAssets } from "../../contract/assets.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../database.ts";
import type { AssetSessionRow, VersionSettings } from "../schema.ts";
import { sha256 } from "./version-content.ts";

/** @returns the manifest's id */
export async function keepManifest(
  db: Database,
  accountId: string,
  files: readonly AssetFile[],
): Promise<string> {
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const text = JSON.stringify(sorted.map(({ path, hash, size }) => [path, hash, size]));
  const id = idOf(accountId, text);
  await db
    .insertInto("assetManifests")
    .values({ id, accountId, files: text })
    .onConflict((o) => o.column("id").doNothing())
    .execute();
  return id;
}

/** @throws Failure `database_damaged` if it is not what it was */
export async function readManifest(
  db: Database,
  accountId: string,
  id: string,
): Promise<readonly AssetFile[]> {
  if (id === "") return [];
  const row = await db
    .selectFrom("assetManifests")
    .select("files")
    .where("id", "=", id)
    .executeTakeFirst();
  if (row === undefined || idOf(accountId, row.files) !== id) {
    throw new Failure("database_damaged", {
      message: "the list of a version's static assets is missing, or is not what it was",
    });
  }
  const files = JSON.parse(row.files) as [string, string, number][];
  return files.map(([path, hash, size]) => ({ path, hash, size }));
}

/** As the edge reads them. */
export async function assetsOf(
  db: Database,
  accountId: string,
  { assets }: VersionSettings,
): Promise<{ readonly assets?: WorkerAssets }> {
  if (assets === undefined) return {};
  const files = await readManifest(db, accountId, assets.manifest);
  return { assets: { files, config: assets.config } };
}

/** The account's oldest sessions beyond `most` end. */
export async function insertSession(
  db: Database,
  session: AssetSessionRow,
  most: number,
): Promise<void> {
  await db.insertInto("assetSessions").values(session).execute();
  const surplus = await db
    .selectFrom("assetSessions")
    .select("tokenHash")
    .where("accountId", "=", session.accountId)
    .orderBy("expiresOn", "desc")
    .offset(most)
    .limit(1000)
    .execute();
  for (const { tokenHash } of surplus) {
    await db.deleteFrom("assetSessions").where("tokenHash", "=", tokenHash).execute();
  }
}

export function findSession(db: Database, token: string): Promise<AssetSessionRow | undefined> {
  return db
    .selectFrom("assetSessions")
    .selectAll()
    .where("tokenHash", "=", sha256(token))
    .executeTakeFirst();
}

/** Forgets uploads that are over and lists that nothing needs. @returns the ids of those left */
export async function pruneManifests(
  db: Database,
  accountId: string,
  now: Date,
): Promise<readonly string[]> {
  await db
    .deleteFrom("assetSessions")
    .where("accountId", "=", accountId)
    .where("expiresOn", "<", now.toISOString())
    .execute();
  const sessions = await db
    .selectFrom("assetSessions")
    .select("manifestId")
    .where("accountId", "=", accountId)
    .execute();
  const versions = await db
    .selectFrom("scriptVersions as v")
    .innerJoin("scripts as s", "s.id", "v.scriptId")
    .select("v.settings")
    .where("s.accountId", "=", accountId)
    .where(sql<boolean>`v.settings like '%"assets"%'`)
    .execute();
  const used = new Set(sessions.map(({ manifestId }) => manifestId));
  for (const { settings } of versions) {
    const { assets } = settings;
    if (assets !== undefined) used.add(assets.manifest);
  }
  const all = await db
    .selectFrom("assetManifests")
    .select("id")
    .where("accountId", "=", accountId)
    .execute();
  for (const { id } of all) {
    if (!used.has(id)) await db.deleteFrom("assetManifests").where("id", "=", id).execute();
  }
  return all.flatMap(({ id }) => (used.has(id) ? [id] : []));
}

function idOf(accountId: string, files: string): string {
  return sha256(`${accountId}\n${files}`);
}
