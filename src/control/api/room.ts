import { Failure } from "../../failures/failures.ts";
import { countRows } from "../../store/counted.ts";
import type { Database } from "../../store/database.ts";

/**
 * How many of each an account may have. Every change of an account's hosts reads all that it has of them, and others
 * wait meanwhile.
 */
const most: Readonly<Record<Limited, readonly [most: number, what: string]>> = {
  routes: [2_000, "routes and custom domains"],
  zones: [1_000, "zones"],
  hostClients: [1_000, "hosts with rules for clients"],
  hostOrigins: [1_000, "hosts with an origin"],
  hostCertificates: [1_000, "server certificates of hosts"],
  clientCertificates: [10_000, "client certificates that its own CA has issued"],
  accessPolicies: [1_000, "policies of Access"],
  scripts: [5_000, "Workers"],
  tokens: [1_000, "API tokens"],
  kv: [1_000, "KV namespaces"],
  d1: [10_000, "D1 databases"],
  r2: [10_000, "R2 buckets"],
  queue: [1_000, "queues"],
};

type Limited = LimitedTable | Counted;

type LimitedTable =
  | "routes"
  | "zones"
  | "hostClients"
  | "hostOrigins"
  | "hostCertificates"
  | "clientCertificates"
  | "accessPolicies"
  | "scripts"
  | "tokens";

/** What Workers store in. */
export type Counted = "kv" | "d1" | "r2" | "queue";

/** @throws Failure `account_full` if the account would have more than its share with `more` of them */
export async function assertRoom(
  db: Database,
  accountId: string,
  table: LimitedTable,
  more = 1,
): Promise<void> {
  assertFits(table, (await countRows(db, table, accountId)) + more);
}

/** @throws Failure `account_full` */
export function assertFits(table: Limited, count: number): void {
  const [limit, what] = most[table];
  if (count <= limit) return;
  throw new Failure("account_full", {
    message: `the account would have more than ${limit} ${what}`,
    facts: { limit },
  });
}
