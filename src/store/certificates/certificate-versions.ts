import type { CertificateRow, CertificateVersionRow } from "../schema.ts";
import type { Database } from "../database.ts";
import { prepared } from "../prepared.ts";

export async function insertCertificateVersion(
  db: Database,
  version: CertificateVersionRow,
): Promise<void> {
  await db.insertInto("certificateVersions").values(version).execute();
}

/** Newest first. */
export function listCertificateVersions(
  db: Database,
  certificateId: string,
): Promise<CertificateVersionRow[]> {
  return db
    .selectFrom("certificateVersions")
    .selectAll()
    .where("certificateId", "=", certificateId)
    .orderBy("version", "desc")
    .execute();
}

export async function revokeVersions(
  db: Database,
  certificateId: string,
  versions: readonly number[],
  revokedOn: string,
): Promise<void> {
  await db
    .updateTable("certificateVersions")
    .set({ revokedOn })
    .where("certificateId", "=", certificateId)
    .where("version", "in", versions)
    .where("revokedOn", "is", null)
    .execute();
}

export async function revokedVersions(db: Database, certificateId: string): Promise<number[]> {
  return (await revoked(db, { certificateId })).map(({ version }) => version);
}

const revoked = prepared((db, { certificateId }: { readonly certificateId: string }) =>
  db
    .selectFrom("certificateVersions")
    .select("version")
    .where("certificateId", "=", certificateId)
    .where("revokedOn", "is not", null)
    .orderBy("version"),
);

export async function deleteVersions(
  db: Database,
  certificateId: string,
  versions: readonly number[],
): Promise<void> {
  if (versions.length === 0) return;
  await db
    .deleteFrom("certificateVersions")
    .where("certificateId", "=", certificateId)
    .where("version", "in", versions)
    .execute();
}

/** A certificate with the number of the version that was asked for. */
export type FoundVersion = CertificateRow & { readonly version: number };

/** Which certificate of the account, in any of its versions, is this content. */
export async function findContent(
  db: Database,
  accountId: string,
  contentHash: string,
): Promise<FoundVersion | undefined> {
  const [row] = await withContent(db, { accountId, contentHash });
  return row;
}

const withContent = prepared(
  (db, { accountId, contentHash }: Pick<CertificateVersionRow, "accountId" | "contentHash">) =>
    versionsOf(db, accountId).where("v.contentHash", "=", contentHash),
);

/** The account's certificate for this key: its newest version with that key. */
export function findPublicKey(
  db: Database,
  accountId: string,
  publicKeyHash: string,
): Promise<FoundVersion | undefined> {
  return versionsOf(db, accountId)
    .where("v.publicKeyHash", "=", publicKeyHash)
    .orderBy("v.uploadedOn", "desc")
    .executeTakeFirst();
}

// Its type is Kysely's record of the tables that it knows.
function versionsOf(db: Database, accountId: string) {
  return db
    .selectFrom("certificates as c")
    .innerJoin("certificateVersions as v", "v.certificateId", "c.id")
    .selectAll("c")
    .select("v.version")
    .where("v.accountId", "=", accountId);
}

/** Versions whose warnings nobody has judged. */
export function unjudgedVersions(db: Database, count: number): Promise<CertificateVersionRow[]> {
  return db
    .selectFrom("certificateVersions")
    .selectAll()
    .where("warnings", "is", null)
    .limit(count)
    .execute();
}

export async function writeWarnings(
  db: Database,
  { certificateId, version }: Pick<CertificateVersionRow, "certificateId" | "version">,
  warnings: readonly string[],
): Promise<void> {
  await db
    .updateTable("certificateVersions")
    .set({ warnings })
    .where("certificateId", "=", certificateId)
    .where("version", "=", version)
    .execute();
}
