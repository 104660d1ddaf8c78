import type { HostChallenge } from "../../contract/hosts.ts";
import type { Database } from "../database.ts";
import { tooFarAhead } from "../due.ts";
import type {
  AcmeAccountRow,
  AcmeChallengeRow,
  AcmeExternalAccountRow,
  HostCertificateRow,
} from "../schema.ts";

export async function acmeAccountAt(
  db: Database,
  accountId: string,
  directory: string,
): Promise<AcmeAccountRow | null> {
  const row = await db
    .selectFrom("acmeAccounts")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("directory", "=", directory)
    .executeTakeFirst();
  return row ?? null;
}

export async function findAcmeAccount(db: Database, id: string): Promise<AcmeAccountRow | null> {
  const row = await db
    .selectFrom("acmeAccounts")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return row ?? null;
}

/** Updates only the columns that may change: its key may be sealed again. */
export async function putAcmeAccount(db: Database, row: AcmeAccountRow): Promise<string> {
  const { email, authority } = row;
  const { id } = await db
    .insertInto("acmeAccounts")
    .values(row)
    .onConflict((o) => o.columns(["accountId", "directory"]).doUpdateSet({ email, authority }))
    .returning("id")
    .executeTakeFirstOrThrow();
  return id;
}

/** Forgets an account that a server refused to open, with its external account. Nothing, where it is used. */
export async function deleteAcmeAccount(db: Database, id: string): Promise<void> {
  const used = db.selectFrom("hostCertificates").select("id").where("acmeAccountId", "=", id);
  await db
    .deleteFrom("acmeAccounts")
    .where("id", "=", id)
    .where((e) => e.not(e.exists(used)))
    .execute();
}

/** Replaces the key: another account at the server was opened. */
export async function replaceAcmeAccount(db: Database, row: AcmeAccountRow): Promise<void> {
  const { id, email, authority, sealedKey, createdOn } = row;
  await db
    .updateTable("acmeAccounts")
    .set({ email, authority, sealedKey, createdOn })
    .where("id", "=", id)
    .execute();
}

/** @param id of the ACME account */
export async function acmeExternalAccount(
  db: Database,
  id: string,
): Promise<AcmeExternalAccountRow | null> {
  const row = await db
    .selectFrom("acmeExternalAccounts")
    .selectAll()
    .where("id", "=", id)
    .executeTakeFirst();
  return row ?? null;
}

export async function putAcmeExternalAccount(
  db: Database,
  row: AcmeExternalAccountRow,
): Promise<void> {
  await db
    .insertInto("acmeExternalAccounts")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

export async function putChallenge(db: Database, row: AcmeChallengeRow): Promise<void> {
  await db
    .insertInto("acmeChallenges")
    .values(row)
    .onConflict((o) => o.columns(["host", "token"]).doUpdateSet(row))
    .execute();
}

export async function deleteChallenge(
  db: Database,
  { host, token }: Pick<AcmeChallengeRow, "host" | "token">,
): Promise<void> {
  await db
    .deleteFrom("acmeChallenges")
    .where("host", "=", host)
    .where("token", "=", token)
    .execute();
}

/** To be called before any order begins: all are of orders that a process before has begun. */
export async function deleteChallenges(db: Database): Promise<void> {
  await db.deleteFrom("acmeChallenges").execute();
}

/** Challenges of orders that ended, and could not be removed then. */
export async function challengesBefore(db: Database, time: Date): Promise<AcmeChallengeRow[]> {
  return db
    .selectFrom("acmeChallenges")
    .selectAll()
    .where("createdOn", "<", time.toISOString())
    .execute();
}

export function challengesOf(db: Database, accountId: string): Promise<HostChallenge[]> {
  return db
    .selectFrom("acmeChallenges")
    .select(["host", "token", "keyAuthorization"])
    .where("accountId", "=", accountId)
    .execute();
}

/** The longest overdue one of each account, so that no account delays another. */
export async function dueRenewals(db: Database, now: Date): Promise<HostCertificateRow[]> {
  const due = await db
    .selectFrom("hostCertificates")
    .selectAll()
    .where((e) =>
      e.or([
        e("acmeNextOn", "<=", now.toISOString()),
        // Without a failure, it is the certificate that says when.
        e.and([
          e("acmeFailures", ">", 0),
          e("acmeNextOn", ">", tooFarAhead(now, LONGEST_ACME_PAUSE)),
        ]),
      ]),
    )
    .orderBy("acmeNextOn")
    .execute();
  return [...Map.groupBy(due, ({ accountId }) => accountId).values()].flatMap((all) =>
    all.slice(0, AT_ONCE),
  );
}

/** ms between two orders, after failures. */
export const LONGEST_ACME_PAUSE: number = 6 * 3_600_000;

/** Of an account. */
const AT_ONCE = 5;

/** No other order is begun before that. */
export async function renewalBegun(db: Database, id: string, acmeNextOn: string): Promise<void> {
  await db.updateTable("hostCertificates").set({ acmeNextOn }).where("id", "=", id).execute();
}

/** Nothing, where it is not renewed by ACME any more. */
export async function renewalFailed(
  db: Database,
  id: string,
  change: Pick<HostCertificateRow, "acmeFailures" | "acmeFailure" | "acmeNextOn">,
): Promise<void> {
  await db
    .updateTable("hostCertificates")
    .set(change)
    .where("id", "=", id)
    .where("source", "=", "acme")
    .execute();
}
