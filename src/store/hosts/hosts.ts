import type { Host } from "../../contract/hosts.ts";
import type { Database } from "../database.ts";
import { clientsOfHosts } from "./host-clients.ts";
import { certificatesOfHosts, hostsOf } from "./host-certificates.ts";
import { originHostsOfOthers } from "./host-origins.ts";
import { nearest } from "../nearest.ts";
import { patternsOfOthers } from "../workers/routes.ts";

/**
 * Every host of an account that has TLS state of its own. Each part of a host's state comes from
 * the nearest name that has it: a host with a certificate of its own keeps the rules of its
 * wildcard.
 */
export async function hostsOfAccount(db: Database, accountId: string): Promise<Host[]> {
  const certificates = await certificatesOfHosts(db, accountId);
  const clients = await clientsOfHosts(db, accountId);
  return [...new Set([...certificates.keys(), ...clients.keys()])].map((host) => ({
    host,
    certificate: nearest(certificates, host),
    clients: nearest(clients, host),
  }));
}

/**
 * Hosts and routes of other accounts. A host belongs to the account that set it first. No other
 * account decides which certificate it presents, which clients it lets in, or where it leads.
 */
export async function hostsOfOthers(db: Database, accountId: string): Promise<string[]> {
  const certificates = await db
    .selectFrom("hostCertificates")
    .select("hosts")
    .where("accountId", "!=", accountId)
    .execute();
  const clients = await db
    .selectFrom("hostClients")
    .select("host")
    .where("accountId", "!=", accountId)
    .execute();
  const access = await db
    .selectFrom("accessAuthorities")
    .select("hosts")
    .where("accountId", "!=", accountId)
    .execute();
  return [
    ...(await patternsOfOthers(db, accountId)),
    ...(await originHostsOfOthers(db, accountId)),
    ...certificates.flatMap(hostsOf),
    ...access.flatMap(hostsOf),
    ...clients.map(({ host }) => host),
  ];
}
