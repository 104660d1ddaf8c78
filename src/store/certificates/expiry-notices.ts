import type { CertificateRow, CertificateVersionRow, ExpiryNoticeRow } from "../schema.ts";
import type { Database } from "../database.ts";
import { tooFarAhead } from "../due.ts";

/** ms between two tries to tell a webhook. */
export const LONGEST_NOTICE_PAUSE: number = 6 * 3_600_000;

/** An active version that is near its end, and the thresholds that were noticed before. */
export interface EndingCertificate {
  readonly certificate: Pick<CertificateRow, "id" | "accountId" | "name" | "ca">;
  readonly version: Pick<CertificateVersionRow, "version" | "notAfter" | "subject" | "fingerprint">;
  readonly noticed: readonly number[];
}

/** Every active version of any account, revoked ones left out, that ends before `end`. */
export async function endingBefore(db: Database, end: Date): Promise<EndingCertificate[]> {
  const rows = await db
    .selectFrom("certificateVersions as v")
    .innerJoin("certificates as c", (join) =>
      join.onRef("c.id", "=", "v.certificateId").onRef("c.activeVersion", "=", "v.version"),
    )
    .select(["c.id", "c.accountId", "c.name", "c.ca"])
    .select(["v.version", "v.notAfter", "v.subject", "v.fingerprint"])
    .where("v.notAfter", "<", end.toISOString())
    .where("v.revokedOn", "is", null)
    .orderBy("v.notAfter")
    .execute();
  const notices = await db
    .selectFrom("expiryNotices")
    .select(["certificateId", "version", "threshold"])
    .execute();
  const noticed = Map.groupBy(notices, (notice) => `${notice.certificateId}/${notice.version}`);
  return rows.map(({ id, accountId, name, ca, ...version }) => ({
    certificate: { id, accountId, name, ca },
    version,
    noticed: (noticed.get(`${id}/${version.version}`) ?? []).map(({ threshold }) => threshold),
  }));
}

export async function insertNotice(db: Database, notice: ExpiryNoticeRow): Promise<void> {
  await db.insertInto("expiryNotices").values(notice).execute();
}

/** Those whose webhook is to be tried by now, the oldest first. */
export function dueNotices(db: Database, now: Date, limit: number): Promise<ExpiryNoticeRow[]> {
  return db
    .selectFrom("expiryNotices")
    .selectAll()
    .where((e) =>
      e.or([
        e("nextAttemptOn", "<=", now.toISOString()),
        e("nextAttemptOn", ">", tooFarAhead(now, LONGEST_NOTICE_PAUSE)),
      ]),
    )
    .orderBy("nextAttemptOn")
    .limit(limit)
    .execute();
}

export async function updateNotice(
  db: Database,
  id: string,
  change: Partial<
    Pick<ExpiryNoticeRow, "attempts" | "nextAttemptOn" | "deliveredOn" | "lastError">
  >,
): Promise<void> {
  await db.updateTable("expiryNotices").set(change).where("id", "=", id).execute();
}

/** Newest first. */
export function listNotices(db: Database, accountId: string): Promise<ExpiryNoticeRow[]> {
  return db
    .selectFrom("expiryNotices")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn", "desc")
    .limit(100)
    .execute();
}
