import { createHash, randomBytes } from "node:crypto";
import type { TokenRow } from "./schema.ts";
import type { Database } from "./store.ts";

export interface NewToken {
  readonly accountId: string;
  readonly name: string;
  /** Who acts with it. */
  readonly email: string;
  /** Cloudflare's names: `ssl_certs:write`, … */
  readonly scopes: readonly string[];
  /** Null: it does not expire. */
  readonly expiresOn: Date | null;
  readonly now: Date;
}

export interface CreatedToken {
  readonly id: string;
  /** `csn_` and 40 url-safe characters (240 random bits). Shown once: only its hash is kept. */
  readonly token: string;
}

export async function createToken(db: Database, token: NewToken): Promise<CreatedToken> {
  const secret = `csn_${randomBytes(30).toString("base64url")}`;
  const id = randomBytes(16).toString("hex");
  await db
    .insertInto("tokens")
    .values({
      id,
      accountId: token.accountId,
      name: token.name,
      email: token.email,
      hash: hashOf(secret),
      scopes: JSON.stringify(token.scopes),
      createdOn: token.now.toISOString(),
      expiresOn: token.expiresOn?.toISOString() ?? null,
      revokedOn: null,
    })
    .execute();
  return { id, token: secret };
}

/** Revoked and expired ones too: the caller judges by its clock. */
export function findToken(db: Database, token: string): Promise<TokenRow | undefined> {
  return db.selectFrom("tokens").selectAll().where("hash", "=", hashOf(token)).executeTakeFirst();
}

export function listTokens(db: Database, accountId: string): Promise<TokenRow[]> {
  return db
    .selectFrom("tokens")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn")
    .execute();
}

/** @returns false if there is no such token, or it was revoked before */
export async function revokeToken(db: Database, id: string, now: Date): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("tokens")
    .set({ revokedOn: now.toISOString() })
    .where("id", "=", id)
    .where("revokedOn", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
