import type { HostOrigin } from "../contract/hosts.ts";
import type { Database } from "./database.ts";
import { proxiedNames } from "./dns-records.ts";
import { listHostOrigins } from "./host-origins.ts";

/** An origin, and what said so. */
export interface KnownOrigin extends HostOrigin {
  readonly from: "host origin" | "dns records";
}

/**
 * Every host that an origin answers for. At one name, what `countersign host origin` said goes
 * before the DNS records.
 */
export async function originsOfAccount(db: Database, accountId: string): Promise<KnownOrigin[]> {
  const origins: KnownOrigin[] = (await listHostOrigins(db, accountId)).map(
    ({ host, toHost, toPort, certificateId }) => ({
      host,
      to: { hosts: [toHost], port: toPort },
      certificateId,
      from: "host origin",
    }),
  );
  const said = new Set(origins.map(({ host }) => host));
  for (const [host, hosts] of await proxiedNames(db, accountId)) {
    if (said.has(host)) continue;
    origins.push({ host, to: { hosts, port: null }, certificateId: null, from: "dns records" });
  }
  return origins;
}
