import type { CertificateRow, CertificateVersionRow } from "./schema.ts";
import type { Database } from "./store.ts";

/** A certificate or CA with the version of it that is active. */
export interface StoredCertificate extends CertificateRow {
  readonly active: CertificateVersionRow;
}

export interface CertificateFilter {
  /** True: CAs only; false: leaf certificates only. Default: both. */
  readonly ca?: boolean;
  readonly name?: string;
  readonly contentHash?: string;
}

export async function insertCertificate(
  db: Database,
  certificate: CertificateRow,
  version: CertificateVersionRow,
): Promise<void> {
  await db.insertInto("certificates").values(certificate).execute();
  await db.insertInto("certificateVersions").values(version).execute();
}

export async function findCertificate(
  db: Database,
  accountId: string,
  id: string,
): Promise<StoredCertificate | null> {
  const row = await db
    .selectFrom("certificates")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .executeTakeFirst();
  if (!row) return null;
  const active = await db
    .selectFrom("certificateVersions")
    .selectAll()
    .where("certificateId", "=", id)
    .where("version", "=", row.activeVersion)
    .executeTakeFirstOrThrow();
  return { ...row, active };
}

/** Oldest first. */
export async function listCertificates(
  db: Database,
  accountId: string,
  filter: CertificateFilter = {},
): Promise<StoredCertificate[]> {
  let query = db.selectFrom("certificates").selectAll().where("accountId", "=", accountId);
  if (filter.ca !== undefined) query = query.where("ca", "=", filter.ca ? 1 : 0);
  if (filter.name !== undefined) query = query.where("name", "=", filter.name);
  const rows = await query.orderBy("uploadedOn").orderBy("id").execute();
  const versions = await db
    .selectFrom("certificateVersions as v")
    .innerJoin("certificates as c", (join) =>
      join.onRef("c.id", "=", "v.certificateId").onRef("c.activeVersion", "=", "v.version"),
    )
    .selectAll("v")
    .where("c.accountId", "=", accountId)
    .execute();
  const byId = new Map(versions.map((version) => [version.certificateId, version]));
  return rows.flatMap((row) => {
    const active = byId.get(row.id);
    return active ? [{ ...row, active }] : [];
  });
}

export async function countCertificates(
  db: Database,
  accountId: string,
  ca: boolean,
): Promise<number> {
  const { count } = await db
    .selectFrom("certificates")
    .select((e) => e.fn.countAll<number | string>().as("count"))
    .where("accountId", "=", accountId)
    .where("ca", "=", ca ? 1 : 0)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Which certificate of the account, in any of its versions, is this content. */
export async function findContent(
  db: Database,
  accountId: string,
  contentHash: string,
): Promise<CertificateRow | undefined> {
  return db
    .selectFrom("certificates as c")
    .innerJoin("certificateVersions as v", "v.certificateId", "c.id")
    .selectAll("c")
    .where("v.accountId", "=", accountId)
    .where("v.contentHash", "=", contentHash)
    .executeTakeFirst();
}

export async function deleteCertificate(db: Database, id: string): Promise<void> {
  await db.deleteFrom("certificates").where("id", "=", id).execute();
}
