import type { CertificateRow, CertificateVersionRow } from "../schema.ts";
import { recordFirstActivation } from "./certificate-activations.ts";
import type { Database, Window } from "../database.ts";
import { prepared } from "../prepared.ts";

/** A certificate or CA with the version of it that is active. */
export interface StoredCertificate extends CertificateRow {
  readonly active: CertificateVersionRow;
}

export interface CertificateFilter {
  /** True: CAs only; false: leaf certificates only. Default: both. */
  readonly ca?: boolean;
  readonly name?: string;
}

export async function insertCertificate(
  db: Database,
  certificate: CertificateRow,
  version: CertificateVersionRow,
): Promise<void> {
  await db.insertInto("certificates").values(certificate).execute();
  await db.insertInto("certificateVersions").values(version).execute();
  await recordFirstActivation(db, certificate.id, version.version);
}

export async function findCertificate(
  db: Database,
  accountId: string,
  id: string,
): Promise<StoredCertificate | null> {
  const [row] = await rowOf(db, { accountId, id });
  if (!row) return null;
  const [active] = await versionOf(db, { id, version: row.activeVersion });
  if (active === undefined) throw new Error(`the certificate ${id} has no active version`);
  return { ...row, active };
}

const rowOf = prepared((db, { accountId, id }: Pick<CertificateRow, "accountId" | "id">) =>
  db.selectFrom("certificates").selectAll().where("accountId", "=", accountId).where("id", "=", id),
);

const versionOf = prepared(
  (db, { id, version }: { readonly id: string; readonly version: number }) =>
    db
      .selectFrom("certificateVersions")
      .selectAll()
      .where("certificateId", "=", id)
      .where("version", "=", version),
);

/** Oldest first. */
export async function listCertificates(
  db: Database,
  accountId: string,
  { window = null, ...filter }: CertificateFilter & { readonly window?: Window | null } = {},
): Promise<StoredCertificate[]> {
  const wanted = matching(db, accountId, filter)
    .orderBy("c.uploadedOn")
    .orderBy("c.id")
    .$if(window !== null, (query) => query.limit(window!.limit).offset(window!.offset));
  const rows = await wanted.selectAll("c").execute();
  const versions = await db
    .selectFrom("certificates as c")
    .innerJoin("certificateVersions as v", (join) =>
      join.onRef("v.certificateId", "=", "c.id").onRef("v.version", "=", "c.activeVersion"),
    )
    .selectAll("v")
    .where("c.id", "in", wanted.select("c.id"))
    .execute();
  const byId = new Map(versions.map((version) => [version.certificateId, version]));
  return rows.flatMap((row) => {
    const active = byId.get(row.id);
    return active ? [{ ...row, active }] : [];
  });
}

/** What a list shows of a certificate: that of the active version, with the certificate's own id, name and time. */
export type ListedCertificate = Pick<CertificateRow, "id" | "name" | "ca" | "uploadedOn"> &
  Pick<CertificateVersionRow, "chain" | "issuer" | "serialNumber" | "signature" | "notAfter">;

/** As `listCertificates`, with what a list shows alone: a fraction of its cost. */
export function pageOfCertificates(
  db: Database,
  accountId: string,
  filter: CertificateFilter,
  window: Window | null,
): Promise<ListedCertificate[]> {
  return listed(db, { ...valuesOf(accountId, filter), ...window });
}

const listed = prepared((db, values: FilterValues & Partial<Window>) =>
  matchingValues(db, values)
    .innerJoin("certificateVersions as v", (join) =>
      join.onRef("v.certificateId", "=", "c.id").onRef("v.version", "=", "c.activeVersion"),
    )
    .select(["c.id", "c.name", "c.ca", "c.uploadedOn"])
    .select(["v.chain", "v.issuer", "v.serialNumber", "v.signature", "v.notAfter"])
    .orderBy("c.uploadedOn")
    .orderBy("c.id")
    .$if(values.limit !== undefined, (query) => query.limit(values.limit!).offset(values.offset!)),
);

/** Of all accounts: when each certificate expires, and what stays worth a sentence. */
export function allCertificates(
  db: Database,
): Promise<
  (Pick<CertificateRow, "accountId" | "id" | "name"> &
    Pick<CertificateVersionRow, "notAfter" | "warnings">)[]
> {
  return db
    .selectFrom("certificates as c")
    .innerJoin("certificateVersions as v", (join) =>
      join.onRef("v.certificateId", "=", "c.id").onRef("v.version", "=", "c.activeVersion"),
    )
    .select(["c.accountId", "c.id", "c.name", "v.notAfter", "v.warnings"])
    .orderBy("c.accountId")
    .orderBy("c.uploadedOn")
    .orderBy("c.id")
    .execute();
}

export async function countCertificates(
  db: Database,
  accountId: string,
  filter: CertificateFilter = {},
): Promise<number> {
  const [row] = await counted(db, valuesOf(accountId, filter));
  return Number(row!.count);
}

const counted = prepared((db, values: FilterValues) =>
  matchingValues(db, values).select((e) => e.fn.countAll<number | string>().as("count")),
);

// Its type is Kysely's record of the tables that it knows.
function matching(db: Database, accountId: string, filter: CertificateFilter) {
  return matchingValues(db, valuesOf(accountId, filter));
}

type FilterValues = Pick<CertificateRow, "accountId"> &
  Partial<Pick<CertificateRow, "ca" | "name">>;

function valuesOf(accountId: string, { ca, name }: CertificateFilter): FilterValues {
  return {
    accountId,
    ...(ca !== undefined && { ca: ca ? 1 : 0 }),
    ...(name !== undefined && { name }),
  };
}

function matchingValues(db: Database, { accountId, ca, name }: FilterValues) {
  return db
    .selectFrom("certificates as c")
    .where("c.accountId", "=", accountId)
    .$if(ca !== undefined, (query) => query.where("c.ca", "=", ca!))
    .$if(name !== undefined, (query) => query.where("c.name", "=", name!));
}

export async function updateCertificate(
  db: Database,
  id: string,
  change: Partial<
    Pick<CertificateRow, "name" | "activeVersion" | "allowedHosts" | "tied" | "updatedOn">
  >,
): Promise<void> {
  await db.updateTable("certificates").set(change).where("id", "=", id).execute();
}

export async function deleteCertificate(db: Database, id: string): Promise<void> {
  // The audit log sees what queries remove, not what foreign keys remove.
  await db.deleteFrom("certificateVersions").where("certificateId", "=", id).execute();
  for (const column of ["authorityId", "certificateId"] as const) {
    await db.deleteFrom("authorityTies").where(column, "=", id).execute();
  }
  await db.deleteFrom("certificates").where("id", "=", id).execute();
}
