import type { ZoneRules } from "../../contract/hosts.ts";
import type { Database } from "../database.ts";
import type { ZoneSettingId, ZoneSettingRow } from "../schema.ts";
import { listZones } from "./zones.ts";

/** Values of a zone's settings, as Cloudflare's API has them. */
export interface ZoneSettingValues {
  readonly min_tls_version: "1.2" | "1.3";
  readonly tls_1_3: "on" | "off";
  readonly always_use_https: "on" | "off";
  readonly security_header: { readonly strict_transport_security: SecurityHeader };
}

export interface SecurityHeader {
  readonly enabled: boolean;
  /** Seconds. */
  readonly max_age: number;
  readonly include_subdomains: boolean;
  readonly preload: boolean;
  readonly nosniff: boolean;
}

/** What counts where nothing was set. */
export const ZONE_DEFAULTS: ZoneSettingValues = {
  min_tls_version: "1.2",
  tls_1_3: "on",
  always_use_https: "off",
  security_header: {
    strict_transport_security: {
      enabled: false,
      max_age: 0,
      include_subdomains: false,
      preload: false,
      nosniff: false,
    },
  },
};

/** @param zone by name. Default: all of the account's */
export function listZoneSettings(
  db: Database,
  accountId: string,
  zone?: string,
): Promise<ZoneSettingRow[]> {
  let query = db.selectFrom("zoneSettings").selectAll().where("accountId", "=", accountId);
  if (zone !== undefined) query = query.where("zone", "=", zone);
  return query.orderBy("zone").orderBy("setting").execute();
}

export async function putZoneSetting(db: Database, row: ZoneSettingRow): Promise<void> {
  await db
    .insertInto("zoneSettings")
    .values(row)
    .onConflict((o) => o.columns(["zone", "setting"]).doUpdateSet(row))
    .execute();
}

/** @param rows of one zone */
export function zoneValues(rows: readonly ZoneSettingRow[]): ZoneSettingValues {
  const set = rows.map(({ setting, value }): [ZoneSettingId, unknown] => [
    setting,
    JSON.parse(value),
  ]);
  return { ...ZONE_DEFAULTS, ...(Object.fromEntries(set) as Partial<ZoneSettingValues>) };
}

/**
 * The settings of all zones of an account, for the ingress. A host's nearest zone counts, even
 * without settings, so all zones are listed. Empty: no zone has settings.
 */
export async function zoneRules(db: Database, accountId: string): Promise<ZoneRules[]> {
  const rows = await listZoneSettings(db, accountId);
  if (rows.length === 0) return [];
  const zones = await listZones(db, accountId);
  return zones.map(({ name }) => rulesOf(name, zoneValues(rows.filter((r) => r.zone === name))));
}

function rulesOf(zone: string, values: ZoneSettingValues): ZoneRules {
  const { enabled, nosniff } = values.security_header.strict_transport_security;
  return {
    zone,
    minTls: values.min_tls_version === "1.3" ? "TLSv1.3" : "TLSv1.2",
    maxTls: values.tls_1_3 === "on" ? "TLSv1.3" : "TLSv1.2",
    alwaysUseHttps: values.always_use_https === "on",
    strictTransport: enabled ? headerOf(values.security_header.strict_transport_security) : null,
    noSniff: nosniff,
  };
}

/** As RFC 6797 writes it. */
function headerOf({ max_age: age, include_subdomains: all, preload }: SecurityHeader): string {
  return [
    `max-age=${age}`,
    ...(all ? ["includeSubDomains"] : []),
    ...(preload ? ["preload"] : []),
  ].join("; ");
}
