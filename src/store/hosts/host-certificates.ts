import type { HostCertificate } from "../../contract/hosts.ts";
import type { HostCertificateRow } from "../schema.ts";
import type { Database } from "../database.ts";

/** Those that win go first. @param zone default: all of the account */
export async function listHostCertificates(
  db: Database,
  accountId: string,
  zone?: string,
): Promise<HostCertificateRow[]> {
  let query = db.selectFrom("hostCertificates").selectAll().where("accountId", "=", accountId);
  if (zone !== undefined) query = query.where("zone", "=", zone);
  return query.orderBy("priority", "desc").orderBy("modifiedOn", "desc").orderBy("id").execute();
}

export async function findHostCertificate(
  db: Database,
  accountId: string,
  id: string,
): Promise<HostCertificateRow | null> {
  const row = await db
    .selectFrom("hostCertificates")
    .selectAll()
    .where("accountId", "=", accountId)
    .where("id", "=", id)
    .executeTakeFirst();
  return row ?? null;
}

export async function putHostCertificate(db: Database, row: HostCertificateRow): Promise<void> {
  await db
    .insertInto("hostCertificates")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

export async function deleteHostCertificate(db: Database, id: string): Promise<void> {
  await db.deleteFrom("hostCertificates").where("id", "=", id).execute();
}

/** Host, or `*.example.com` → what it presents. */
export async function certificatesOfHosts(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, HostCertificate>> {
  const certificates = new Map<string, HostCertificate>();
  for (const row of await listHostCertificates(db, accountId)) {
    // From where the row stands: a key that was moved there does not open.
    const { chain, sealedKey, id: sealedId } = row;
    for (const host of hostsOf(row)) {
      if (!certificates.has(host)) certificates.set(host, { chain, sealedKey, sealedId });
    }
  }
  return certificates;
}

/** Those that come from a folder on this machine, of all accounts. */
export async function followedHostCertificates(
  db: Database,
): Promise<readonly Pick<HostCertificateRow, "id" | "accountId" | "hosts" | "chain" | "folder">[]> {
  return db
    .selectFrom("hostCertificates")
    .select(["id", "accountId", "hosts", "chain", "folder"])
    .where("folder", "is not", null)
    .execute();
}

export function hostsOf({ hosts }: Pick<HostCertificateRow, "hosts">): readonly string[] {
  return hosts;
}
