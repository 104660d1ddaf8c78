import type { Host } from "../contract/hosts.ts";
import type { Database } from "./database.ts";
import { clientsOfHosts } from "./host-clients.ts";
import { certificatesOfHosts, hostsOf } from "./host-certificates.ts";
import { originHostsOfOthers } from "./host-origins.ts";
import { patternsOfOthers } from "./routes.ts";

/**
 * Every host of an account that has TLS state of its own. A host has each part of it from the nearest
 * name that says something of it: one with a certificate of its own keeps the rules of its wildcard.
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

/** What is known of a host by its own name, or by the nearest wildcard above it. */
export function nearest<T>(known: ReadonlyMap<string, T>, host: string): T | null {
  const exact = known.get(host);
  if (exact !== undefined) return exact;
  const name = host.startsWith("*.") ? host.slice(2) : host;
  for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
    const found = known.get(`*${name.slice(dot)}`);
    if (found !== undefined) return found;
  }
  return null;
}

/**
 * What other accounts have said of hosts, as hosts and routes: a host belongs to the account that came
 * first, and nobody else says what it presents, whom it lets in or where it leads.
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
  return [
    ...(await patternsOfOthers(db, accountId)),
    ...(await originHostsOfOthers(db, accountId)),
    ...certificates.flatMap(hostsOf),
    ...clients.map(({ host }) => host),
  ];
}
