import type { AccessPolicy, AccountAccess } from "../../contract/access.ts";
import type { Database } from "../database.ts";
import { ruleOf } from "./access-rules.ts";
import type { AccessKeyIntervalRow, AccessPolicyRow, Tables } from "../schema.ts";

/** Everything that Access stores. Each kind has a table of its own. */
export type AccessTable =
  | "accessApplications"
  | "accessPolicies"
  | "accessAuthorities"
  | "serviceTokens";

/** By age, the oldest first. */
export async function listAccess<T extends AccessTable>(
  db: Database,
  table: T,
  accountId: string,
): Promise<Tables[T][]> {
  const rows = await db
    .selectFrom(table as "serviceTokens")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn")
    .orderBy("id")
    .execute();
  return rows as unknown as Tables[T][];
}

export async function findAccess<T extends AccessTable>(
  db: Database,
  table: T,
  key: { readonly accountId: string; readonly id: string },
): Promise<Tables[T] | undefined> {
  const row = await db
    .selectFrom(table as "serviceTokens")
    .selectAll()
    .where("accountId", "=", key.accountId)
    .where("id", "=", key.id)
    .executeTakeFirst();
  return row as Tables[T] | undefined;
}

/** Written again if there is one of this id. */
export async function putAccess<T extends AccessTable>(
  db: Database,
  table: T,
  row: Tables[T],
): Promise<void> {
  const values = row as Tables["serviceTokens"];
  const { id: _, accountId: __, createdOn: ___, ...changed } = values;
  await db
    .insertInto(table as "serviceTokens")
    .values(values)
    .onConflict((o) => o.column("id").doUpdateSet(changed))
    .execute();
}

export async function deleteAccess(
  db: Database,
  table: AccessTable,
  key: { readonly accountId: string; readonly id: string },
): Promise<void> {
  if (table === "accessApplications") {
    // The audit log sees what queries remove, not what foreign keys remove.
    await db.deleteFrom("accessPolicies").where("applicationId", "=", key.id).execute();
  }
  await db
    .deleteFrom(table as "serviceTokens")
    .where("accountId", "=", key.accountId)
    .where("id", "=", key.id)
    .execute();
}

/** The newest first; it may not sign yet. */
export function listAccessKeys(db: Database, accountId: string): Promise<Tables["accessKeys"][]> {
  return db
    .selectFrom("accessKeys")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("signsFrom", "desc")
    .orderBy("id")
    .execute();
}

export async function accountsWithAccessKeys(db: Database): Promise<string[]> {
  const rows = await db.selectFrom("accessKeys").select("accountId").distinct().execute();
  return rows.map(({ accountId }) => accountId);
}

export async function insertAccessKey(db: Database, row: Tables["accessKeys"]): Promise<void> {
  await db.insertInto("accessKeys").values(row).execute();
}

export async function deleteAccessKeys(db: Database, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await db.deleteFrom("accessKeys").where("id", "in", ids).execute();
}

/** All that the ingress decides by. */
export async function accountAccess(db: Database, accountId: string): Promise<AccountAccess> {
  const applications = await listAccess(db, "accessApplications", accountId);
  const policies = await listAccess(db, "accessPolicies", accountId);
  const tokens = await listAccess(db, "serviceTokens", accountId);
  const authorities = await listAccess(db, "accessAuthorities", accountId);
  const keys = await listAccessKeys(db, accountId);
  return {
    applications: applications.map((row) => ({
      id: row.id,
      aud: row.aud,
      domains: row.domains,
      policies: row.policies.flatMap((id) => {
        const policy = policies.find((one) => one.id === id);
        return policy ? [policyOf(policy)] : [];
      }),
    })),
    tokens: tokens.map((row) => ({
      id: row.id,
      clientId: row.clientId,
      enabled: row.enabled === 1,
      expiresOn: row.expiresOn,
      secrets: [
        { hash: row.secretHash, until: null },
        ...(row.previousHash !== null && row.previousUntil !== null
          ? [{ hash: row.previousHash, until: row.previousUntil }]
          : []),
      ],
    })),
    authorities: authorities.map(({ id, certificate, hosts }) => ({
      id,
      certificate,
      hosts,
    })),
    keys: keys.map(({ id, publicKey, sealedKey, signsFrom }) => ({
      id,
      signsFrom,
      publicKey,
      sealedKey,
    })),
  };
}

function policyOf({ id, decision, rules }: AccessPolicyRow): AccessPolicy {
  return {
    id,
    decision,
    include: rules.include.map(ruleOf),
    require: rules.require.map(ruleOf),
    exclude: rules.exclude.map(ruleOf),
  };
}

/** Days that a key of the account signs. */
export async function accessKeyInterval(db: Database, accountId: string): Promise<number> {
  const row = await db
    .selectFrom("accessKeyIntervals")
    .select("days")
    .where("accountId", "=", accountId)
    .executeTakeFirst();
  return row?.days ?? DEFAULT_INTERVAL;
}

/** As on Cloudflare. */
const DEFAULT_INTERVAL = 90;

export async function putAccessKeyInterval(db: Database, row: AccessKeyIntervalRow): Promise<void> {
  await db
    .insertInto("accessKeyIntervals")
    .values(row)
    .onConflict((o) => o.column("accountId").doUpdateSet(row))
    .execute();
}
