import type { Database } from "../database.ts";
import type { DnsRecordRow } from "../schema.ts";

/** By name. @param zone default: of all */
export function listDnsRecords(
  db: Database,
  accountId: string,
  zone?: string,
): Promise<DnsRecordRow[]> {
  return db
    .selectFrom("dnsRecords")
    .selectAll()
    .where("accountId", "=", accountId)
    .$if(zone !== undefined, (query) => query.where("zone", "=", zone ?? ""))
    .orderBy("name")
    .orderBy("createdOn")
    .orderBy("id")
    .execute();
}

export async function putDnsRecord(db: Database, row: DnsRecordRow): Promise<void> {
  await db
    .insertInto("dnsRecords")
    .values(row)
    .onConflict((o) => o.column("id").doUpdateSet(row))
    .execute();
}

export async function deleteDnsRecord(db: Database, id: string): Promise<void> {
  await db.deleteFrom("dnsRecords").where("id", "=", id).execute();
}

/** What the hosts of one account must not overlap. */
export async function proxiedNamesOfOthers(db: Database, accountId: string): Promise<string[]> {
  const rows = await db
    .selectFrom("dnsRecords")
    .select("name")
    .distinct()
    .where("accountId", "!=", accountId)
    .where("proxied", "=", 1)
    .execute();
  return rows.map(({ name }) => name);
}

/**
 * Where each proxied name leads. A CNAME is followed while the account has records for its target,
 * because the zone's DNS server may not have them.
 */
export async function proxiedNames(
  db: Database,
  accountId: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const byName = new Map<string, DnsRecordRow[]>();
  for (const row of await listDnsRecords(db, accountId)) {
    if (row.type === "TXT") continue;
    byName.set(row.name, [...(byName.get(row.name) ?? []), row]);
  }
  const found = new Map<string, readonly string[]>();
  for (const [name, rows] of byName) {
    if (rows.some(({ proxied }) => proxied === 1)) found.set(name, followed(rows, byName));
  }
  return found;
}

/** As many steps as resolvers follow; a circle ends the search. */
const MOST_HOPS = 8;

function followed(
  start: readonly DnsRecordRow[],
  byName: ReadonlyMap<string, readonly DnsRecordRow[]>,
): readonly string[] {
  let rows = start;
  for (let hops = 0; hops < MOST_HOPS; hops += 1) {
    const [first] = rows;
    const next = first?.type === "CNAME" ? byName.get(first.content) : undefined;
    if (next === undefined) break;
    rows = next;
  }
  return rows.map(({ content }) => content);
}
