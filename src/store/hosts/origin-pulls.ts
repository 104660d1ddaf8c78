import type { CertificateVersion } from "../../contract/change-feed.ts";
import { keyPlace } from "../../keys/places.ts";
import type { Database } from "../database.ts";
import type { OriginPullCertificateRow, OriginPullHostRow, OriginPullZoneRow } from "../schema.ts";

/** `global`: signed by this installation, and renewed by itself. */
export type PullLevel = "zone" | "hostname" | "global";

/** Newest first. @param of default: all of the account */
export function listPullCertificates(
  db: Database,
  accountId: string,
  of?: { readonly zone: string; readonly level: PullLevel },
): Promise<OriginPullCertificateRow[]> {
  return db
    .selectFrom("originPullCertificates")
    .selectAll()
    .where("accountId", "=", accountId)
    .$if(of !== undefined, (query) =>
      query.where("zone", "=", of?.zone ?? "").where("level", "=", of?.level ?? ""),
    )
    .orderBy("uploadedOn", "desc")
    .orderBy("id")
    .execute();
}

/** Accounts that have a certificate of the level. */
export async function accountsWithPullLevel(db: Database, level: PullLevel): Promise<string[]> {
  const rows = await db
    .selectFrom("originPullCertificates")
    .select("accountId")
    .distinct()
    .where("level", "=", level)
    .execute();
  return rows.map(({ accountId }) => accountId);
}

export async function insertPullCertificate(
  db: Database,
  row: OriginPullCertificateRow,
): Promise<void> {
  await db.insertInto("originPullCertificates").values(row).execute();
}

export async function deletePullCertificate(db: Database, id: string): Promise<void> {
  await db.deleteFrom("originPullCertificates").where("id", "=", id).execute();
}

/** By host. */
export function listPullHosts(db: Database, accountId: string): Promise<OriginPullHostRow[]> {
  return db
    .selectFrom("originPullHosts")
    .selectAll()
    .where("accountId", "=", accountId)
    .orderBy("host")
    .execute();
}

export async function putPullHost(db: Database, row: OriginPullHostRow): Promise<void> {
  await db
    .insertInto("originPullHosts")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

export async function deletePullHost(db: Database, id: string): Promise<void> {
  await db.deleteFrom("originPullHosts").where("id", "=", id).execute();
}

export function listPullZones(db: Database, accountId: string): Promise<OriginPullZoneRow[]> {
  return db.selectFrom("originPullZones").selectAll().where("accountId", "=", accountId).execute();
}

export async function putPullZone(db: Database, row: OriginPullZoneRow): Promise<void> {
  await db
    .insertInto("originPullZones")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

/** All that a zone says of its origins. */
export async function deletePullsOfZone(
  db: Database,
  accountId: string,
  zone: string,
): Promise<void> {
  for (const table of [
    "originPullHosts",
    "originPullCertificates",
    "originPullZones",
    "globalPullZones",
  ] as const) {
    await db
      .deleteFrom(table)
      .where("accountId", "=", accountId)
      .where("zone", "=", zone)
      .execute();
  }
}

/** As the gateway needs it. Null: there is none. It has only one version. */
export async function pullCertificate(
  db: Database,
  accountId: string,
  certificateId: string,
): Promise<CertificateVersion | null> {
  const row = await db
    .selectFrom("originPullCertificates")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("id", "=", certificateId)
    .executeTakeFirst();
  if (row === undefined) return null;
  return {
    accountId,
    certificateId,
    name: null,
    version: ONLY_VERSION,
    chain: row.chain,
    sealedKey: row.sealedKey,
    sealedId: pullKeyPlace(row).id,
    allowedHosts: null,
    trust: null,
    revokedOn: null,
  };
}

const ONLY_VERSION = 1;

/** Where its key is sealed: as that of any certificate that the gateway presents. */
export function pullKeyPlace(row: {
  readonly accountId: string;
  readonly id: string;
}): ReturnType<typeof keyPlace> {
  return keyPlace({ accountId: row.accountId, certificateId: row.id, version: ONLY_VERSION });
}
