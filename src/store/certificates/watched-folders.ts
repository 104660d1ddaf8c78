import type { CertificateSourceRow } from "../schema.ts";
import type { Database } from "../database.ts";

export function listSources(db: Database): Promise<CertificateSourceRow[]> {
  return db.selectFrom("certificateSources").selectAll().orderBy("certificateId").execute();
}

export function sourcesOfAccount(db: Database, accountId: string): Promise<CertificateSourceRow[]> {
  return db
    .selectFrom("certificateSources")
    .selectAll()
    .where("accountId", "=", accountId)
    .execute();
}

/** Replaces the one the certificate has. */
export async function putSource(db: Database, source: CertificateSourceRow): Promise<void> {
  await deleteSource(db, source.certificateId);
  await db.insertInto("certificateSources").values(source).execute();
}

export async function updateSource(
  db: Database,
  certificateId: string,
  change: Partial<Pick<CertificateSourceRow, "takenOn" | "failedOn" | "failure">>,
): Promise<void> {
  await db
    .updateTable("certificateSources")
    .set(change)
    .where("certificateId", "=", certificateId)
    .execute();
}

/** @returns false if it had none */
export async function deleteSource(
  db: Database,
  certificateId: string,
): Promise<CertificateSourceRow | null> {
  const row = await db
    .deleteFrom("certificateSources")
    .where("certificateId", "=", certificateId)
    .returningAll()
    .executeTakeFirst();
  return row ?? null;
}
