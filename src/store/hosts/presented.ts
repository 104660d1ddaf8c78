import { LONGEST_NOTICE_PAUSE } from "../certificates/expiry-notices.ts";
import type { Database } from "../database.ts";
import { tooFarAhead } from "../due.ts";
import type { PresentedNoticeRow } from "../schema.ts";
import { hostsOf, listHostCertificates } from "./host-certificates.ts";
import { listPullCertificates, listPullHosts } from "./origin-pulls.ts";

/** A certificate that is in force beside those of bindings: at hosts of the ingress, or at origins of a zone. */
export interface PresentedCertificate {
  readonly kind: PresentedNoticeRow["kind"];
  readonly accountId: string;
  readonly id: string;
  /** Hosts, or the zone. */
  readonly names: readonly string[];
  /** Leaf first, PEM. */
  readonly chain: string;
  readonly notAfter: string;
  /** `renewing`: something renews it in time. `late`: that failed. `by hand`: somebody has to. */
  readonly renewal: "renewing" | "late" | "by hand";
}

/**
 * Those that are in force somewhere. A certificate that another one covers completely needs no
 * notice.
 */
export async function presentedCertificates(
  db: Database,
  accountId: string,
): Promise<readonly PresentedCertificate[]> {
  return [...(await atHosts(db, accountId)), ...(await atOrigins(db, accountId))];
}

async function atHosts(db: Database, accountId: string): Promise<PresentedCertificate[]> {
  const taken = new Set<string>();
  const presented: PresentedCertificate[] = [];
  for (const row of await listHostCertificates(db, accountId)) {
    const names = hostsOf(row).filter((host) => !taken.has(host));
    if (names.length === 0) continue;
    for (const host of names) taken.add(host);
    const { id, chain, notAfter, source, acmeFailures } = row;
    const renewing = acmeFailures > 0 ? "late" : "renewing";
    const renewal = source === "upload" ? "by hand" : renewing;
    presented.push({ kind: "host", accountId, id, names, chain, notAfter, renewal });
  }
  return presented;
}

async function atOrigins(db: Database, accountId: string): Promise<PresentedCertificate[]> {
  const hosts = (await listPullHosts(db, accountId)).filter(({ enabled }) => enabled === 1);
  const newest = new Set<string>();
  const presented: PresentedCertificate[] = [];
  for (const row of await listPullCertificates(db, accountId)) {
    const { id, level, zone, chain, notAfter } = row;
    const of = `${level} ${zone}`;
    const named = hosts.filter(({ certificateId }) => certificateId === id);
    if (level === "hostname" ? named.length === 0 : newest.has(of)) continue;
    newest.add(of);
    const names = level === "hostname" ? named.map(({ host }) => host) : [zone || "all zones"];
    const renewal = level === "global" ? "renewing" : "by hand";
    presented.push({ kind: "origin_pull", accountId, id, names, chain, notAfter, renewal });
  }
  return presented;
}

/** Thresholds that were noticed of this certificate, as long as it is the same. */
export async function presentedThresholds(
  db: Database,
  { kind, id, notAfter }: PresentedCertificate,
): Promise<readonly number[]> {
  const rows = await db
    .selectFrom("presentedNotices")
    .select("threshold")
    .where("kind", "=", kind)
    .where("certificateId", "=", id)
    .where("notAfter", "=", notAfter)
    .execute();
  return rows.map(({ threshold }) => threshold);
}

/** Another process may have written the same down. */
export async function insertPresentedNotice(db: Database, row: PresentedNoticeRow): Promise<void> {
  await db
    .insertInto("presentedNotices")
    .values(row)
    .onConflict((o) => o.doNothing())
    .execute();
}

export function duePresentedNotices(
  db: Database,
  now: Date,
  limit: number,
): Promise<PresentedNoticeRow[]> {
  return db
    .selectFrom("presentedNotices")
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

export async function updatePresentedNotice(
  db: Database,
  id: string,
  change: Partial<
    Pick<PresentedNoticeRow, "attempts" | "nextAttemptOn" | "deliveredOn" | "lastError">
  >,
): Promise<void> {
  await db.updateTable("presentedNotices").set(change).where("id", "=", id).execute();
}

/** Newest first. */
export function listPresentedNotices(
  db: Database,
  accountId: string,
): Promise<PresentedNoticeRow[]> {
  return db
    .selectFrom("presentedNotices")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn", "desc")
    .limit(100)
    .execute();
}
