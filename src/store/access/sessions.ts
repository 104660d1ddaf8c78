import { createHash } from "node:crypto";
import type { Database } from "../database.ts";
import type { OauthPayload } from "./oauth.ts";
import type { OauthRecordRow } from "../schema.ts";

/** One login of a person: a grant with the tokens that came of it. */
export interface Session {
  /** 32 hex digits. */
  readonly id: string;
  readonly userId: string;
  readonly clientId: string;
  /** ISO 8601. */
  readonly begunOn: string | null;
  readonly expiresOn: string;
}

/** Newest first. */
export async function sessionsOf(db: Database, userId: string, now: Date): Promise<Session[]> {
  const rows = await db
    .selectFrom("oauthRecords")
    .selectAll()
    .where("userId", "=", userId)
    .where("model", "=", "Grant")
    .where("expiresOn", ">", now.toISOString())
    .execute();
  return rows
    .map(({ idHash, payload, expiresOn }) => {
      const { clientId = "", iat } = JSON.parse(payload) as OauthPayload;
      const begunOn = typeof iat === "number" ? new Date(iat * 1000).toISOString() : null;
      return { id: idHash.slice(0, 32), userId, clientId, begunOn, expiresOn };
    })
    .toSorted((a, b) => ((a.begunOn ?? "") < (b.begunOn ?? "") ? 1 : -1));
}

/** The login that an access token came of, by the id of the token. */
export async function sessionOfToken(db: Database, tokenId: string): Promise<string | null> {
  const row = await db
    .selectFrom("oauthRecords")
    .select("grantId")
    .where("model", "=", "AccessToken")
    .where("idHash", "like", `${tokenId}%`)
    .executeTakeFirst();
  return row?.grantId ? idOf(row.grantId) : null;
}

/** Ends a login with its tokens. @returns how many records went; 0: there is no such login */
export function endSession(db: Database, userId: string, id: string): Promise<number> {
  return endWhere(db, userId, (row) => sessionOf(row) === id);
}

/** Signs a person out everywhere but in one login. */
export function endOtherSessions(
  db: Database,
  userId: string,
  kept: string | null,
): Promise<number> {
  return endWhere(db, userId, (row) => sessionOf(row) !== kept);
}

async function endWhere(
  db: Database,
  userId: string,
  which: (row: OauthRecordRow) => boolean,
): Promise<number> {
  const rows = await db
    .selectFrom("oauthRecords")
    .selectAll()
    .where("userId", "=", userId)
    .execute();
  const ended = rows.filter(which);
  for (const { model, idHash } of ended) {
    await db
      .deleteFrom("oauthRecords")
      .where("model", "=", model)
      .where("idHash", "=", idHash)
      .execute();
  }
  return ended.length;
}

/** A grant is stored with the hash of its id. The tokens of the grant have the id itself. */
function sessionOf({ model, idHash, grantId }: OauthRecordRow): string | null {
  if (model === "Grant") return idHash.slice(0, 32);
  return grantId === null ? null : idOf(grantId);
}

function idOf(grantId: string): string {
  return createHash("sha256").update(grantId).digest("hex").slice(0, 32);
}
