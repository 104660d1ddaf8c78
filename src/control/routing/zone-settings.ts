import { z } from "@hono/zod-openapi";
import { anyJson } from "../api/bounds.ts";
import { Failure } from "../../failures/failures.ts";
import type { Database } from "../../store/database.ts";
import {
  listZoneSettings,
  putZoneSetting,
  zoneValues,
  ZONE_DEFAULTS,
  type ZoneSettingValues,
} from "../../store/hosts/zone-settings.ts";
import { listGlobalPullZones } from "../../store/hosts/global-pulls.ts";
import { listZones } from "../../store/hosts/zones.ts";
import type { ZoneRow, ZoneSettingId, ZoneSettingRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { existingZone } from "./custom-certificates.ts";
import { shownGlobalPull } from "./global-pull-endpoints.ts";

const one = z.object({ value: anyJson(10_000).optional() });
const many = z.object({
  items: z
    .array(z.object({ id: z.string().max(100), value: anyJson(10_000).optional() }))
    .min(1)
    .max(100),
});

const onOrOff = z.enum(["on", "off"]);

const schemas: { readonly [Id in ZoneSettingId]: z.ZodType<ZoneSettingValues[Id]> } = {
  min_tls_version: z.enum(["1.2", "1.3"]),
  tls_1_3: onOrOff,
  always_use_https: onOrOff,
  security_header: z.strictObject({
    strict_transport_security: z.strictObject({
      enabled: z.boolean().default(false),
      max_age: z.number().int().min(0).max(63_072_000).default(0),
      include_subdomains: z.boolean().default(false),
      preload: z.boolean().default(false),
      nosniff: z.boolean().default(false),
    }),
  }),
};

/** What each setting accepts, for the message about a wrong value. */
const TAKEN: Readonly<Record<ZoneSettingId, string>> = {
  min_tls_version: '"1.2" or "1.3": TLS 1.0 and 1.1 are not spoken here (RFC 8996)',
  tls_1_3: '"on" or "off": early data (0-RTT) is not taken, for it can be sent again by others',
  always_use_https: '"on" or "off"',
  security_header:
    "strict_transport_security with enabled, max_age (0 to 63072000 seconds), include_subdomains, preload and nosniff",
};

const ids = Object.keys(schemas) as ZoneSettingId[];
/** Origins are always reached over TLS and verified by the host's name. */
const SSL = { id: "ssl", value: "strict", editable: false, modified_on: null } as const;

/** Settings of a zone that apply to all its hosts at the ingress, under Cloudflare's names. */
export function zoneSettingEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock } = context;
  const path = "/zones/{zone_id}/settings";
  const byId = `${path}/{setting_id}`;
  const read = { scope: "ssl_certs:read" } as const;
  const write = { scope: "ssl_certs:write" } as const;
  /** Changes all of the given settings, or none. */
  const change = (
    caller: Caller,
    zoneId: string | undefined,
    items: readonly { readonly id: string; readonly value?: unknown }[],
  ): Promise<readonly object[]> => {
    const { accountId } = caller;
    return applyChange({ store, edge }, async ({ db, changed }) => {
      const zone = await madeZone(db, accountId, zoneId);
      const before = await listZoneSettings(db, accountId, zone.name);
      const rows = new Map(before.map((row) => [row.setting, row]));
      for (const { id, value } of items) {
        if (id === SSL.id && value === SSL.value) continue;
        const row: ZoneSettingRow = {
          accountId,
          zone: zone.name,
          ...parsed(id, value),
          modifiedOn: clock().toISOString(),
        };
        rows.set(row.setting, row);
        await putZoneSetting(db, row);
      }
      const after = [...rows.values()];
      refuseNoVersion(zone.name, zoneValues(after));
      await changed({ kind: "hosts", accountId });
      return {
        value: items.map(({ id }) => shown(id, after)),
        audit: {
          by: actorOf(caller),
          action: "zone.settings" as const,
          accountId,
          resource: { type: "zone", id: zone.id, name: zone.name },
          before: { ...zoneValues(before) },
          after: { ...zoneValues(after) },
        },
      };
    });
  };
  return [
    endpoint(
      { ...read, method: "get", path, summary: "What a zone says of its hosts" },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listZoneSettings(store.db, accountId, zone.name);
        const pulls = await listGlobalPullZones(store.db, accountId);
        return list([
          ...[...ids, SSL.id].map((id) => shown(id, rows)),
          shownGlobalPull(pulls.find(({ id }) => id === zone.id)),
        ]);
      },
    ),
    endpoint(
      { ...write, method: "patch", path, summary: "Change settings of a zone at once", body: many },
      async ({ caller, params, body }) => list(await change(caller, params["zone_id"], body.items)),
    ),
    endpoint(
      { ...read, method: "get", path: byId, summary: "One setting of a zone" },
      async ({ caller: { accountId }, params }) => {
        const { name } = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listZoneSettings(store.db, accountId, name);
        return { result: shown(params["setting_id"] ?? "", rows) };
      },
    ),
    endpoint(
      { ...write, method: "patch", path: byId, summary: "Change a setting of a zone", body: one },
      async ({ caller, params, body: { value } }) => {
        const id = params["setting_id"] ?? "";
        const [changed] = await change(caller, params["zone_id"], [{ id, value }]);
        return { result: changed };
      },
    ),
  ];
}

/**
 * A zone that was created belongs to one account, with all its hosts. A zone that follows from a route does not: its
 * settings would also apply to other accounts that come later.
 * @throws Failure `zone_not_found`
 */
async function madeZone(db: Database, accountId: string, id: string | undefined): Promise<ZoneRow> {
  const made = (await listZones(db, accountId)).find((zone) => zone.id === id);
  if (made !== undefined) return made;
  const { name } = await existingZone(db, accountId, id);
  throw new Failure("zone_not_found", {
    message: `the zone "${name}" follows from a route and was not made, so it has no settings`,
    fix: `Make it the account's: POST /zones with {"name": "${name}"}.`,
  });
}

/** @throws Failure `zone_setting_unsupported`, `zone_setting_invalid` */
function parsed(id: string, value: unknown): Pick<ZoneSettingRow, "setting" | "value"> {
  if (!isSetting(id)) throw unsupported(id);
  const { success, data } = schemas[id].safeParse(value);
  if (success) return { setting: id, value: JSON.stringify(data) };
  const sent = (JSON.stringify(value) ?? "nothing").slice(0, 100);
  throw new Failure("zone_setting_invalid", {
    message: `"${id}" of a zone cannot be ${sent}: it is ${TAKEN[id]}`,
  });
}

/** @throws Failure `zone_setting_invalid` */
function refuseNoVersion(zone: string, values: ZoneSettingValues): void {
  if (values.min_tls_version !== "1.3" || values.tls_1_3 === "on") return;
  throw new Failure("zone_setting_invalid", {
    message: `with "min_tls_version" 1.3 and "tls_1_3" off nobody could connect to hosts of "${zone}"`,
  });
}

/** @throws Failure `zone_setting_unsupported` */
function shown(id: string, rows: readonly ZoneSettingRow[]): object {
  if (id === SSL.id) return SSL;
  if (!isSetting(id)) throw unsupported(id);
  const row = rows.find(({ setting }) => setting === id);
  return {
    id,
    value: row === undefined ? ZONE_DEFAULTS[id] : (JSON.parse(row.value) as unknown),
    editable: true,
    modified_on: row?.modifiedOn ?? null,
  };
}

function isSetting(id: string): id is ZoneSettingId {
  return Object.hasOwn(schemas, id);
}

function unsupported(id: string): Failure {
  if (id === SSL.id) {
    return new Failure("zone_setting_unsupported", {
      message: '"ssl" of a zone is "strict": origins are asked over TLS alone, and verified',
    });
  }
  if (id === "tls_client_auth") {
    return new Failure("zone_setting_unsupported", {
      message: '"tls_client_auth" is changed by itself, and not among others',
      fix: "Change it with `PATCH /zones/{zone_id}/settings/tls_client_auth`.",
    });
  }
  return new Failure("zone_setting_unsupported", {
    message: `a zone has no setting "${id.slice(0, 100)}" here; there are ${ids.join(", ")}, ssl and tls_client_auth`,
  });
}
