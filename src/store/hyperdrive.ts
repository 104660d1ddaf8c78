import type { DatabaseConfig } from "../contract/database.ts";
import { findCertificate } from "./certificates/certificates.ts";
import type { Database } from "./database.ts";
import type { HyperdriveConfigRow } from "./schema.ts";

export async function insertHyperdrive(db: Database, row: HyperdriveConfigRow): Promise<void> {
  await db.insertInto("hyperdriveConfigs").values(row).execute();
}

export async function findHyperdrive(
  db: Database,
  accountId: string,
  id: string,
): Promise<HyperdriveConfigRow | null> {
  const row = await db
    .selectFrom("hyperdriveConfigs")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .executeTakeFirst();
  return row ?? null;
}

/** Oldest first. */
export function listHyperdrive(db: Database, accountId: string): Promise<HyperdriveConfigRow[]> {
  return db
    .selectFrom("hyperdriveConfigs")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("createdOn")
    .orderBy("id")
    .execute();
}

export async function updateHyperdrive(db: Database, row: HyperdriveConfigRow): Promise<void> {
  await db
    .updateTable("hyperdriveConfigs")
    .set(row)
    .where("accountId", "=", row.accountId)
    .where("id", "=", row.id)
    .execute();
}

export async function deleteHyperdrive(
  db: Database,
  { accountId, id }: Pick<HyperdriveConfigRow, "accountId" | "id">,
): Promise<void> {
  await db
    .deleteFrom("hyperdriveConfigs")
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .execute();
}

/** The configurations that present the certificate, or verify with the CA. */
export function hyperdriveWith(
  db: Database,
  accountId: string,
  certificateId: string,
): Promise<HyperdriveConfigRow[]> {
  return db
    .selectFrom("hyperdriveConfigs")
    .selectAll()
    .where("accountId", "=", accountId)
    .where((e) =>
      e.or([e("mtlsCertificateId", "=", certificateId), e("caCertificateId", "=", certificateId)]),
    )
    .orderBy("name")
    .execute();
}

/** As the gateway needs it. Null: there is none. */
export async function databaseConfig(
  db: Database,
  accountId: string,
  id: string,
): Promise<DatabaseConfig | null> {
  const row = await findHyperdrive(db, accountId, id);
  if (row === null) return null;
  const { name, host, port, database, user, sealedPassword, connectionLimit, sslmode } = row;
  const authority =
    row.caCertificateId === null ? null : await findCertificate(db, accountId, row.caCertificateId);
  return {
    accountId,
    databaseId: id,
    name,
    protocol: row.scheme === "mysql" ? "mysql" : "postgres",
    host,
    port,
    database,
    user,
    sealedPassword,
    certificateId: row.mtlsCertificateId,
    // A deleted CA verifies nothing. No other CA takes its place.
    authorities: row.caCertificateId === null ? null : authority ? [authority.active.chain] : [],
    verifyName: !/^verify[-_]ca$/i.test(sslmode),
    connectionLimit,
  };
}
