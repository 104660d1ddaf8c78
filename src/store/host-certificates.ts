import type { Host } from "../contract/hosts.ts";
import type { HostCertificateRow } from "./schema.ts";
import type { Database } from "./database.ts";

/** Those that win go first. @param zone default: all of the account */
async function listHostCertificates(
  db: Database,
  accountId: string,
  zone?: string,
): Promise<HostCertificateRow[]> {
  let query = db.selectFrom("hostCertificates").selectAll().where("accountId", "=", accountId);
  if (zone !== undefined) query = query.where("zone", "=", zone);
  return query.orderBy("priority", "desc").orderBy("modifiedOn", "desc").orderBy("id").execute();
}

/** Every host of an account that has TLS state of its own. */
export async function hostsOfAccount(db: Database, accountId: string): Promise<Host[]> {
  const hosts = new Map<string, Host>();
  for (const row of await listHostCertificates(db, accountId)) {
    const { chain, sealedKey, sealedId } = row;
    for (const host of hostsOf(row)) {
      if (!hosts.has(host))
        hosts.set(host, { host, certificate: { chain, sealedKey, sealedId }, clients: null });
    }
  }
  return [...hosts.values()];
}

function hostsOf({ hosts }: Pick<HostCertificateRow, "hosts">): readonly string[] {
  return JSON.parse(hosts) as string[];
}
