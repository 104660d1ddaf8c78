import { hostsOverlap, parseRoute } from "../../network/patterns.ts";
import { findAccount, listAccounts } from "../../store/access/accounts.ts";
import type { Database } from "../../store/database.ts";
import { hostsOfOthers } from "../../store/hosts/hosts.ts";
import type { AccountRow } from "../../store/schema.ts";
import { listZones } from "../../store/hosts/zones.ts";
import { isOwnHost } from "./zones.ts";

/**
 * The first of these hosts that is another account's: by a zone, a route, an origin, what it presents
 * or asks of its clients, or as the name that a Worker has by itself. Names that Workers have by
 * themselves are another's where they are not this account's: whoever registers the subdomain
 * gets them. Null: none is.
 * @param hosts `api.example.com`, `*.example.com`, or the pattern of a route
 */
export async function hostOfAnother(
  db: Database,
  accountId: string,
  hosts: readonly string[],
): Promise<string | null> {
  const claimed = await claimsOfOthers(db, accountId);
  const own = await findAccount(db, accountId);
  const isAnothers = (host: string): boolean =>
    claimed.some((pattern) => hostsOverlap(pattern, host)) ||
    (isOwnHost(host) && !(own && isOf(own, host)));
  return hosts.find(isAnothers) ?? null;
}

/**
 * Whether another account has, or says something of, a host that Workers of this one would have by
 * the subdomain: from before, when nobody had it, or when it was the other's.
 * @param accountId Null: of an account that is made now
 */
export async function hasHostsOfOthers(
  db: Database,
  accountId: string | null,
  subdomain: string,
): Promise<boolean> {
  const claimed = await claimsOfOthers(db, accountId ?? "");
  return namesBelow(subdomain).some((name) =>
    claimed.some((pattern) => hostsOverlap(pattern, name)),
  );
}

async function claimsOfOthers(db: Database, accountId: string): Promise<readonly string[]> {
  const claimed = await hostsOfOthers(db, accountId);
  for (const { id, subdomain } of await listAccounts(db)) {
    if (id === accountId) continue;
    const zones = (await listZones(db, id)).map(({ name }) => name);
    claimed.push(...zones, ...zones.map((name) => `*.${name}`));
    if (subdomain !== null) claimed.push(...namesBelow(subdomain));
  }
  return claimed;
}

function namesBelow(subdomain: string): readonly string[] {
  return [`*.${subdomain}.localhost`, `*.${subdomain}.workers.dev`];
}

function isOf({ subdomain, shortHosts }: AccountRow, pattern: string): boolean {
  const { end } = parseRoute(pattern).host;
  if (shortHosts === 1 && SHORT_NAME.test(end)) return true;
  return subdomain !== null && namesBelow(subdomain).some((name) => end.endsWith(name.slice(1)));
}

/** `shop.localhost` is a Worker of the account with short names, `.localhost` all of them. */
const SHORT_NAME = /^[^.]*\.localhost$/;
