import { createHash, randomBytes } from "node:crypto";
import type { RequestIp, TokenRow } from "../schema.ts";
import type { Database } from "../database.ts";
import { prepared } from "../prepared.ts";

export interface NewToken {
  readonly accountId: string;
  /** Whose it is. Default: the account's own. */
  readonly userId?: string | null;
  readonly name: string;
  /** Who acts with it. */
  readonly email: string;
  /** Cloudflare's names: `ssl_certs:write`, … */
  readonly scopes: readonly string[];
  /** As they were sent, to be shown so. Default: made from the scopes. */
  readonly policies?: readonly object[] | null;
  /** Default: at once. */
  readonly notBefore?: Date | null;
  /** Null: it does not expire. */
  readonly expiresOn: Date | null;
  /** CIDRs it may, or may not, be used from. Default: from anywhere. */
  readonly requestIp?: RequestIp | null;
  /** The token it is made with. Default: none, a person or the operator makes it. */
  readonly madeBy?: string | null;
  readonly now: Date;
}

export interface CreatedToken {
  readonly id: string;
  /** `csn_` and 40 url-safe characters (240 random bits). Shown once: only its hash is kept. */
  readonly token: string;
}

export async function createToken(db: Database, token: NewToken): Promise<CreatedToken> {
  const secret = makeSecret();
  const id = randomBytes(16).toString("hex");
  const createdOn = token.now.toISOString();
  await db
    .insertInto("tokens")
    .values({
      id,
      accountId: token.accountId,
      userId: token.userId ?? null,
      name: token.name,
      email: token.email,
      hash: hashOf(secret),
      scopes: token.scopes,
      policies: token.policies ?? null,
      createdOn,
      modifiedOn: createdOn,
      notBefore: token.notBefore?.toISOString() ?? null,
      expiresOn: token.expiresOn?.toISOString() ?? null,
      requestIp: token.requestIp ?? null,
      disabled: 0,
      revokedOn: null,
      madeBy: token.madeBy ?? null,
    })
    .execute();
  await forgetRevoked(db, token.accountId);
  return { id, token: secret };
}

/** Revoked and expired ones too: the caller judges by its clock. */
export async function findToken(db: Database, token: string): Promise<TokenRow | undefined> {
  const [row] = await byHash(db, { hash: hashOf(token) });
  return row;
}

const byHash = prepared((db, { hash }: { readonly hash: string }) =>
  db.selectFrom("tokens").selectAll().where("hash", "=", hash),
);

export function findTokenById(db: Database, id: string): Promise<TokenRow | undefined> {
  return db.selectFrom("tokens").selectAll().where("id", "=", id).executeTakeFirst();
}

/** Of one account, without those that were revoked, oldest first. */
export function listTokens(db: Database, accountId: string): Promise<TokenRow[]> {
  return db
    .selectFrom("tokens")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("revokedOn", "is", null)
    .orderBy("createdOn")
    .orderBy("id")
    .execute();
}

/** Without those that were revoked. */
export async function countTokens(db: Database, accountId: string): Promise<number> {
  const { total } = await db
    .selectFrom("tokens")
    .where("accountId", "=", accountId)
    .where("revokedOn", "is", null)
    .select((e) => e.fn.countAll<number | string>().as("total"))
    .executeTakeFirstOrThrow();
  return Number(total);
}

/** How many of an account's revoked tokens are kept. The audit log has what they were. */
export const KEPT_REVOKED = 1_000;

/** Tokens that were made with one that is forgotten were revoked with it. */
async function forgetRevoked(db: Database, accountId: string): Promise<void> {
  const old = db
    .selectFrom("tokens")
    .select("id")
    .where("accountId", "=", accountId)
    .where("revokedOn", "is not", null)
    .orderBy("revokedOn", "desc")
    .orderBy("id")
    .limit(1_000_000)
    .offset(KEPT_REVOKED);
  const ids = (await old.execute()).map(({ id }) => id);
  for (const id of ids) await db.deleteFrom("tokens").where("id", "=", id).execute();
}

export type TokenChange = Partial<
  Pick<
    TokenRow,
    "name" | "scopes" | "policies" | "notBefore" | "expiresOn" | "requestIp" | "disabled"
  >
>;

export async function updateToken(
  db: Database,
  id: string,
  change: TokenChange & { readonly now: Date },
): Promise<void> {
  const { now, ...columns } = change;
  await db
    .updateTable("tokens")
    .set({ ...columns, modifiedOn: now.toISOString() })
    .where("id", "=", id)
    .execute();
}

/**
 * The tokens that it was made with, nearest first. A chain that does not end, as somebody with
 * write access to the database might make, ends at `MOST_MAKERS`, and is then invalid.
 * @returns null if the chain is broken: a maker is not there
 */
export async function makersOf(db: Database, token: TokenRow): Promise<TokenRow[] | null> {
  const makers: TokenRow[] = [];
  for (let id = token.madeBy; id !== null; id = makers.at(-1)!.madeBy) {
    const maker = await findTokenById(db, id);
    if (!maker || makers.length >= MOST_MAKERS) return null;
    makers.push(maker);
  }
  return makers;
}

/** Tokens that make tokens that make tokens: nobody needs more in a row. */
export const MOST_MAKERS = 8;

/**
 * Gives the token a new value. The old value stops working, and so do tokens that were made with
 * it.
 */
export async function rollToken(db: Database, id: string, now: Date): Promise<string> {
  await revokeMadeBy(db, id, now);
  const secret = makeSecret();
  await db
    .updateTable("tokens")
    .set({ hash: hashOf(secret), modifiedOn: now.toISOString() })
    .where("id", "=", id)
    .execute();
  return secret;
}

/** Every token that was made with it, and with those. */
async function revokeMadeBy(db: Database, id: string, now: Date): Promise<void> {
  let ids = [id];
  while (ids.length > 0) {
    const rows = await db
      .updateTable("tokens")
      .set({ revokedOn: now.toISOString() })
      .where("madeBy", "in", ids)
      .where("revokedOn", "is", null)
      .returning("id")
      .execute();
    ids = rows.map((row) => row.id);
  }
}

/**
 * Ends a token, and every one that was made with it.
 * @returns false if there is no such token, or it was revoked before
 */
export async function revokeToken(db: Database, id: string, now: Date): Promise<boolean> {
  await revokeMadeBy(db, id, now);
  const { numUpdatedRows } = await db
    .updateTable("tokens")
    .set({ revokedOn: now.toISOString() })
    .where("id", "=", id)
    .where("revokedOn", "is", null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Empty: from anywhere. */
export function requestIpOf({ requestIp }: Pick<TokenRow, "requestIp">): RequestIp {
  return requestIp ?? {};
}

function makeSecret(): string {
  return `csn_${randomBytes(30).toString("base64url")}`;
}

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}
