import { createHash } from "node:crypto";
import { oauthProofPlace } from "../../keys/places.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { OauthRecordRow } from "../schema.ts";
import type { Database } from "../database.ts";

export interface OauthPayload {
  readonly accountId?: string;
  readonly clientId?: string;
  readonly grantId?: string;
  readonly scope?: string;
  readonly uid?: string;
  readonly [name: string]: unknown;
}

export interface OauthRecord {
  readonly model: string;
  readonly id: string;
  readonly payload: OauthPayload;
  readonly expiresOn: Date;
}

export interface FoundAccessToken {
  /** Not the token: the beginning of its hash. */
  readonly id: string;
  readonly userId: string;
  readonly scopes: readonly string[];
  readonly expiresOn: string;
}

/**
 * What a person's access token allows. Expired ones too: the caller judges by its clock. Null, too,
 * for a row that somebody wrote who does not have the master key.
 */
export async function findAccessToken(
  db: Database,
  keyring: Keyring,
  token: string,
): Promise<FoundAccessToken | null> {
  const row = await select(db, "AccessToken", "idHash", hashOf(token));
  if (!row?.userId || !isProven(row, keyring)) return null;
  const { scope = "" } = JSON.parse(row.payload) as OauthPayload;
  return {
    id: row.idHash.slice(0, 32),
    userId: row.userId,
    scopes: scope.split(" "),
    expiresOn: row.expiresOn,
  };
}

/**
 * Undefined, too, for a row that somebody wrote who does not have the master key.
 * @param by `idHash` takes the id itself
 */
export async function findOauthRecord(
  db: Database,
  keyring: Keyring,
  model: string,
  by: { readonly id: string } | { readonly uid: string },
): Promise<OauthRecordRow | undefined> {
  const row = await ("id" in by
    ? select(db, model, "idHash", hashOf(by.id))
    : select(db, model, "uid", by.uid));
  return row && isProven(row, keyring) ? row : undefined;
}

/** Inserts or replaces. What has lapsed by `now` is removed. */
export async function saveOauthRecord(
  db: Database,
  keyring: Keyring,
  record: OauthRecord,
  now: Date,
): Promise<void> {
  const { model, id, payload, expiresOn } = record;
  const idHash = hashOf(id);
  const said = {
    payload: JSON.stringify(payload),
    userId: payload.accountId ?? null,
    grantId: payload.grantId ?? null,
    uid: payload.uid ?? null,
    expiresOn: expiresOn.toISOString(),
  };
  const sealedProof = keyring.seal(oauthProofPlace({ model, idHash }), digestOf(said));
  const columns = { ...said, sealedProof };
  await db.deleteFrom("oauthRecords").where("expiresOn", "<", now.toISOString()).execute();
  await db
    .insertInto("oauthRecords")
    .values({ model, idHash, consumedOn: null, ...columns })
    .onConflict((o) => o.columns(["model", "idHash"]).doUpdateSet(columns))
    .execute();
  await trim(db, columns.userId, idHash);
}

type Said = Pick<OauthRecordRow, "payload" | "userId" | "grantId" | "uid" | "expiresOn">;

function isProven(row: OauthRecordRow, keyring: Keyring): boolean {
  if (row.sealedProof === null) return false;
  try {
    return keyring.unseal(oauthProofPlace(row), row.sealedProof) === digestOf(row);
  } catch {
    return false;
  }
}

function digestOf({ payload, userId, grantId, uid, expiresOn }: Said): string {
  return hashOf(JSON.stringify([payload, userId, grantId, uid, expiresOn]));
}

/** Rows of sign-ins that nobody has finished, of all together; and of one person. */
export const MOST_OAUTH = { unfinished: 10_000, person: 2_000 };

/** There is a limit, whatever the number of addresses: rows that expire first are removed first. */
async function trim(db: Database, userId: string | null, newest: string): Promise<void> {
  const most = userId === null ? MOST_OAUTH.unfinished : MOST_OAUTH.person;
  const theirs = db
    .selectFrom("oauthRecords")
    .where((e) => (userId === null ? e("userId", "is", null) : e("userId", "=", userId)));
  const { total } = await theirs
    .select((e) => e.fn.countAll<number | string>().as("total"))
    .executeTakeFirstOrThrow();
  const over = Number(total) - most;
  if (over <= 0) return;
  const oldest = await theirs
    .select(["model", "idHash"])
    .where("idHash", "!=", newest)
    .orderBy("expiresOn")
    .limit(over)
    .execute();
  for (const { model, idHash } of oldest) {
    await db
      .deleteFrom("oauthRecords")
      .where("model", "=", model)
      .where("idHash", "=", idHash)
      .execute();
  }
}

/** @returns false if it was consumed before: of two at once, one is too late */
export async function consumeOauthRecord(
  db: Database,
  { model, id, now }: { model: string; id: string; now: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("oauthRecords")
    .set({ consumedOn: now.toISOString() })
    .where("model", "=", model)
    .where("idHash", "=", hashOf(id))
    .where("consumedOn", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** @returns what was there */
export async function deleteOauthRecord(
  db: Database,
  model: string,
  id: string,
): Promise<OauthPayload | null> {
  const row = await select(db, model, "idHash", hashOf(id));
  if (!row) return null;
  await db
    .deleteFrom("oauthRecords")
    .where("model", "=", model)
    .where("idHash", "=", row.idHash)
    .execute();
  return JSON.parse(row.payload) as OauthPayload;
}

/** Removes everything that one consent led to: its tokens stop working. @returns what there was */
export async function deleteOauthGrant(db: Database, grantId: string): Promise<OauthPayload[]> {
  const rows = await db
    .deleteFrom("oauthRecords")
    .where((e) =>
      e.or([
        e("grantId", "=", grantId),
        e.and([e("model", "=", "Grant"), e("idHash", "=", hashOf(grantId))]),
      ]),
    )
    .returning("payload")
    .execute();
  return rows.map(({ payload }) => JSON.parse(payload) as OauthPayload);
}

/** Signs a person out everywhere. */
export async function deleteOauthOf(db: Database, userId: string): Promise<void> {
  await db.deleteFrom("oauthRecords").where("userId", "=", userId).execute();
}

function select(
  db: Database,
  model: string,
  column: "idHash" | "uid",
  value: string,
): Promise<OauthRecordRow | undefined> {
  return db
    .selectFrom("oauthRecords")
    .selectAll()
    .where("model", "=", model)
    .where(column, "=", value)
    .executeTakeFirst();
}

function hashOf(id: string): string {
  return createHash("sha256").update(id).digest("hex");
}
