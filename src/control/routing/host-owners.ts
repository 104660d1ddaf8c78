import { ClaimedHosts } from "../../network/claimed-hosts.ts";
import { parseRoute } from "../../network/patterns.ts";
import { findAccount, listAccounts } from "../../store/access/accounts.ts";
import type { Database } from "../../store/database.ts";
import { hostsOfOthers } from "../../store/hosts/hosts.ts";
import type { AccountRow } from "../../store/schema.ts";
import { listZones } from "../../store/hosts/zones.ts";
import { isOwnHost } from "./zones.ts";

/**
 * The first of these hosts that belongs to another account: by a zone, a route, an origin, its certificate or client
 * rules, or as a Worker's own name. Own names under a subdomain that this account has not registered count as
 * another's, because the account that registers the subdomain gets them. Null: none.
 * @param hosts `api.example.com`, `*.example.com`, or the pattern of a route
 */
export async function hostOfAnother(
  db: Database,
  accountId: string,
  hosts: readonly string[],
): Promise<string | null> {
  return hosts.find(await anothersHosts(db, accountId)) ?? null;
}

/**
 * Whether a host belongs to another account, for a transaction that asks about many hosts: reading what all others
 * have takes its time.
 */
export async function anothersHosts(
  db: Database,
  accountId: string,
): Promise<(host: string) => boolean> {
  const claimed = new ClaimedHosts(await claimsOfOthers(db, accountId));
  const own = await findAccount(db, accountId);
  return (host) => claimed.overlap(host) || (isOwnHost(host) && !(own && isOf(own, host)));
}

/**
 * Whether another account has hosts or settings under the subdomain that would belong to Workers of this account, from
 * a time when nobody, or the other account, had the subdomain.
 * @param accountId Null: an account that is being made
 */
export async function hasHostsOfOthers(
  db: Database,
  accountId: string | null,
  subdomain: string,
): Promise<boolean> {
  const claimed = new ClaimedHosts(await claimsOfOthers(db, accountId ?? ""));
  return namesBelow(subdomain).some((name) => claimed.overlap(name));
}

async function claimsOfOthers(db: Database, accountId: string): Promise<readonly string[]> {
  const claimed = [...(await hostsOfOthers(db, accountId))];
  for (const { id, subdomain } of await listAccounts(db)) {
    if (id === accountId) continue;
    const zones = (await listZones(db, id)).map(({ name }) => name);
    for (const name of zones) claimed.push(name, `*.${name}`);
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

/** `shop.localhost` is a Worker of the account with short names; `.localhost` stands for all of them. */
const SHORT_NAME = /^[^.]*\.localhost$/;
