import { hostsOverlap } from "../../network/patterns.ts";
import { listAccounts } from "../../store/access/accounts.ts";
import type { Database } from "../../store/database.ts";
import { hostsOfOthers } from "../../store/hosts/hosts.ts";
import type { AccountRow } from "../../store/schema.ts";
import { listZones } from "../../store/hosts/zones.ts";

/**
 * The first of these hosts that is another account's: by a zone, a route, an origin, what it presents
 * or asks of its clients, or as the name that a Worker has by itself. Null: none is.
 * @param hosts `api.example.com`, `*.example.com`, or the pattern of a route
 */
export async function hostOfAnother(
  db: Database,
  accountId: string,
  hosts: readonly string[],
): Promise<string | null> {
  const claimed = await hostsOfOthers(db, accountId);
  const others = (await listAccounts(db)).filter(({ id }) => id !== accountId);
  for (const other of others) {
    const zones = (await listZones(db, other.id)).map(({ name }) => name);
    claimed.push(...zones, ...zones.map((name) => `*.${name}`), ...ownNames(other));
  }
  const hasShortNames = others.some(({ shortHosts }) => shortHosts === 1);
  const isAnothers = (host: string): boolean =>
    claimed.some((pattern) => hostsOverlap(pattern, host)) ||
    (hasShortNames && SHORT_NAME.test(host));
  return hosts.find(isAnothers) ?? null;
}

function ownNames({ subdomain }: AccountRow): readonly string[] {
  return subdomain === null ? [] : [`*.${subdomain}.localhost`, `*.${subdomain}.workers.dev`];
}

/** `shop.localhost` is a Worker of the account with short names. */
const SHORT_NAME = /^(\*|[^.]+)\.localhost$/;
