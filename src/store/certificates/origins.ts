import type { ScriptKey } from "../../contract/change-feed.ts";
import type { HostOrigin } from "../../contract/hosts.ts";
import type { Database } from "../database.ts";
import { proxiedNames } from "../hosts/dns-records.ts";
import { listGlobalPullZones } from "../hosts/global-pulls.ts";
import { listHostOrigins } from "../hosts/host-origins.ts";
import { nearest } from "../nearest.ts";
import { listPullCertificates, listPullHosts, listPullZones } from "../hosts/origin-pulls.ts";
import { routesOfScript } from "../workers/routes.ts";
import { findScript } from "../workers/scripts.ts";

/** An origin, and the setting that names it. */
export interface KnownOrigin extends HostOrigin {
  readonly from: "host origin" | "dns records";
  /** The setting that names the certificate. Null: none is presented. */
  readonly certificateFrom: "host origin" | "hostname" | "zone" | "global" | null;
}

/**
 * Every host that an origin answers for. At the same name, `countersign host origin` has priority
 * over DNS records.
 */
export async function originsOfAccount(db: Database, accountId: string): Promise<KnownOrigin[]> {
  const origins: KnownOrigin[] = (await listHostOrigins(db, accountId)).map(
    ({ host, toHost, toPort, certificateId }) => ({
      host,
      to: { hosts: [toHost], port: toPort },
      certificateId,
      from: "host origin",
      certificateFrom: "host origin",
    }),
  );
  const said = new Set(origins.map(({ host }) => host));
  const records = await proxiedNames(db, accountId);
  if (records.size === 0) return origins;
  const pulls = await pullsOf(db, accountId);
  // A host with a certificate of its own is separate, even below a wildcard.
  for (const host of new Set([...records.keys(), ...pulls.hosts.keys()])) {
    const hosts = nearest(records, host);
    if (said.has(host) || hosts === null) continue;
    const to = { hosts, port: null };
    origins.push({ host, to, from: "dns records", ...presentedTo(pulls, host) });
  }
  return origins;
}

/** The hosts of a script's routes, `*` among them as they were written. */
export async function routedHosts(db: Database, key: ScriptKey): Promise<string[]> {
  const script = await findScript(db, key);
  if (!script) return [];
  const routes = await routesOfScript(db, script.id);
  return routes
    .filter(({ kind }) => kind === "route")
    .map(({ pattern }) => pattern.split("/")[0] ?? "");
}

interface Pulls {
  /** Host → certificate. */
  readonly hosts: ReadonlyMap<string, string>;
  /** Zone → the newest of its certificates. */
  readonly zones: ReadonlyMap<string, string>;
  /** Zones that show the global certificate where none of the above is. */
  readonly globalIn: ReadonlySet<string>;
  readonly global: string | null;
}

async function pullsOf(db: Database, accountId: string): Promise<Pulls> {
  const hosts = (await listPullHosts(db, accountId)).filter(({ enabled }) => enabled === 1);
  const on = (await listPullZones(db, accountId)).filter(({ enabled }) => enabled === 1);
  const zones = new Map<string, string>();
  let global: string | null = null;
  for (const { zone, level, id } of await listPullCertificates(db, accountId)) {
    if (level === "global") global ??= id;
    const isOn = on.some((other) => other.zone === zone);
    if (level === "zone" && isOn && !zones.has(zone)) zones.set(zone, id);
  }
  const globalIn = (await listGlobalPullZones(db, accountId)).filter(
    ({ enabled }) => enabled === 1,
  );
  return {
    hosts: new Map(hosts.map((one) => [one.host, one.certificateId])),
    zones,
    globalIn: new Set(globalIn.map(({ zone }) => zone)),
    global,
  };
}

/** The most specific counts: of the host, of the smallest zone around it, then the global one. */
function presentedTo(
  { hosts, zones, globalIn, global }: Pulls,
  host: string,
): Pick<KnownOrigin, "certificateId" | "certificateFrom"> {
  const own = nearest(hosts, host);
  if (own !== null) return { certificateId: own, certificateFrom: "hostname" };
  const labels = host.split(".");
  const around = labels.map((_, first) => labels.slice(first).join("."));
  for (const zone of around) {
    const certificateId = zones.get(zone);
    if (certificateId !== undefined) return { certificateId, certificateFrom: "zone" };
  }
  if (global !== null && around.some((zone) => globalIn.has(zone))) {
    return { certificateId: global, certificateFrom: "global" };
  }
  return { certificateId: null, certificateFrom: null };
}
