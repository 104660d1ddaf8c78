import type { ScriptKey } from "../contract/change-feed.ts";
import type { Database } from "./database.ts";
import type { IdentityAuthorityRow, IdentityRow, IssuedIdentityRow, PolicyRow } from "./schema.ts";

/** By number, the newest last. */
export function listAuthorities(db: Database, accountId: string): Promise<IdentityAuthorityRow[]> {
  return db
    .selectFrom("identityAuthorities")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("number")
    .execute();
}

export function activeAuthority(
  db: Database,
  accountId: string,
): Promise<IdentityAuthorityRow | undefined> {
  return db
    .selectFrom("identityAuthorities")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("state", "=", "active")
    .executeTakeFirst();
}

export async function insertAuthority(db: Database, row: IdentityAuthorityRow): Promise<void> {
  await db.insertInto("identityAuthorities").values(row).execute();
}

export async function updateAuthority(
  db: Database,
  id: string,
  change: Partial<Pick<IdentityAuthorityRow, "state" | "chain" | "rootCrl" | "changedOn">>,
): Promise<void> {
  await db.updateTable("identityAuthorities").set(change).where("id", "=", id).execute();
}

export function findIdentity(db: Database, key: ScriptKey): Promise<IdentityRow | undefined> {
  return db
    .selectFrom("identities")
    .selectAll()
    .where("accountId", "=", key.accountId)
    .where("scriptName", "=", key.scriptName)
    .executeTakeFirst();
}

export function listIdentities(db: Database, accountId: string): Promise<IdentityRow[]> {
  return db
    .selectFrom("identities")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("scriptName")
    .execute();
}

export async function putIdentity(db: Database, row: IdentityRow): Promise<void> {
  await db
    .insertInto("identities")
    .values(row)
    .onConflict((o) => o.columns(["accountId", "scriptName"]).doUpdateSet(row))
    .execute();
}

export async function insertIssued(db: Database, row: IssuedIdentityRow): Promise<void> {
  await db.insertInto("issuedIdentities").values(row).execute();
}

/** Of one Worker, or of the whole account; the newest first. */
export function listIssued(
  db: Database,
  accountId: string,
  scriptName?: string,
): Promise<IssuedIdentityRow[]> {
  return db
    .selectFrom("issuedIdentities")
    .selectAll()
    .where("accountId", "=", accountId)
    .$if(scriptName !== undefined, (q) => q.where("scriptName", "=", scriptName!))
    .orderBy("issuedOn", "desc")
    .execute();
}

/** Those of the account that were revoked, the newest first. */
export function listIssuedRevoked(
  db: Database,
  accountId: string,
): Promise<Pick<IssuedIdentityRow, "serial" | "authorityId">[]> {
  return db
    .selectFrom("issuedIdentities")
    .select(["serial", "authorityId"])
    .where("accountId", "=", accountId)
    .where("revokedOn", "is not", null)
    .orderBy("issuedOn", "desc")
    .execute();
}

/** All that a Worker holds and that has not expired. */
export async function revokeIssued(
  db: Database,
  { accountId, scriptName }: ScriptKey,
  revokedOn: string,
): Promise<void> {
  await db
    .updateTable("issuedIdentities")
    .set({ revokedOn })
    .where("accountId", "=", accountId)
    .where("scriptName", "=", scriptName)
    .where("revokedOn", "is", null)
    .execute();
}

export function findIssued(
  db: Database,
  accountId: string,
  serial: string,
): Promise<IssuedIdentityRow | undefined> {
  return db
    .selectFrom("issuedIdentities")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("serial", "=", serial)
    .executeTakeFirst();
}

/**
 * A certificate that was issued to a client, not to a Worker. @returns what was changed; undefined:
 * there is none
 */
export function revokeSerial(
  db: Database,
  { accountId, serial, revokedOn }: { accountId: string; serial: string; revokedOn: string },
): Promise<IssuedIdentityRow | undefined> {
  return db
    .updateTable("issuedIdentities")
    .set((e) => ({ revokedOn: e.fn.coalesce("revokedOn", e.val(revokedOn)) }))
    .where("accountId", "=", accountId)
    .where("serial", "=", serial)
    .where("scriptName", "is", null)
    .returningAll()
    .executeTakeFirst();
}

/**
 * Those that have not expired, or expired less than a day ago, because the readers' clocks may
 * differ.
 */
export function listRevoked(
  db: Database,
  accountId: string,
  now: Date,
): Promise<Pick<IssuedIdentityRow, "serial" | "revokedOn" | "authorityId">[]> {
  return db
    .selectFrom("issuedIdentities")
    .select(["serial", "revokedOn", "authorityId"])
    .where("accountId", "=", accountId)
    .where("revokedOn", "is not", null)
    .where("notAfter", ">", new Date(now.getTime() - DAY).toISOString())
    .orderBy("serial")
    .execute();
}

const DAY = 86_400_000;
/**
 * ms that a certificate is remembered after it expired, so that a clock that jumps ahead forgets no
 * revocation.
 */
const REMEMBERED = 7 * DAY;

/** @returns how many were forgotten */
export async function forgetExpired(db: Database, now: Date): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom("issuedIdentities")
    .where("notAfter", "<", new Date(now.getTime() - REMEMBERED).toISOString())
    .executeTakeFirst();
  return Number(numDeletedRows);
}

/** The newest version of a policy. */
export function findPolicy(
  db: Database,
  accountId: string,
  name: string,
): Promise<PolicyRow | undefined> {
  return db
    .selectFrom("policies")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("name", "=", name)
    .orderBy("version", "desc")
    .limit(1)
    .executeTakeFirst();
}

/** The newest version of each, by name. */
export function listPolicies(db: Database, accountId: string): Promise<PolicyRow[]> {
  return db
    .selectFrom("policies")
    .selectAll()
    .where("accountId", "=", accountId)
    .where((e) =>
      e(
        "version",
        "=",
        e
          .selectFrom("policies as other")
          .select((o) => o.fn.max("other.version").as("newest"))
          .whereRef("other.accountId", "=", "policies.accountId")
          .whereRef("other.name", "=", "policies.name"),
      ),
    )
    .orderBy("name")
    .execute();
}

/** The versions that are kept, newest first. */
export function policyVersions(
  db: Database,
  accountId: string,
  name: string,
): Promise<PolicyRow[]> {
  return db
    .selectFrom("policies")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("name", "=", name)
    .orderBy("version", "desc")
    .execute();
}

export async function countPolicies(db: Database, accountId: string): Promise<number> {
  const { total } = await db
    .selectFrom("policies")
    .select((e) => e.fn.count<number | string>("name").distinct().as("total"))
    .where("accountId", "=", accountId)
    .executeTakeFirstOrThrow();
  return Number(total);
}

/** How many versions of a policy are kept: the newest. */
export const MOST_POLICY_VERSIONS = 100;

export async function insertPolicy(db: Database, row: PolicyRow): Promise<void> {
  await db.insertInto("policies").values(row).execute();
  await db
    .deleteFrom("policies")
    .where("accountId", "=", row.accountId)
    .where("name", "=", row.name)
    .where("version", "<=", row.version - MOST_POLICY_VERSIONS)
    .execute();
}

/** With all its versions. */
export async function deletePolicy(
  db: Database,
  { accountId, name }: Pick<PolicyRow, "accountId" | "name">,
): Promise<void> {
  await db
    .deleteFrom("policies")
    .where("accountId", "=", accountId)
    .where("name", "=", name)
    .execute();
}

/** Where the account's published state stands: the cursor of the last change to it. 0: none yet. */
export async function identitiesCursor(db: Database, accountId: string): Promise<number> {
  const { cursor } = await db
    .selectFrom("changes")
    .select((e) => e.fn.max("cursor").as("cursor"))
    .where("accountId", "=", accountId)
    .where("kind", "in", ["identity", "identities"])
    .executeTakeFirstOrThrow();
  return cursor ?? 0;
}
