import { z } from "@hono/zod-openapi";
import {
  listGlobalPullZones,
  listPullAuthorities,
  putGlobalPullZone,
} from "../../store/hosts/global-pulls.ts";
import type { GlobalPullZoneRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { existingZone } from "./custom-certificates.ts";
import { pullAuthorities, settleGlobalPull } from "./global-pulls.ts";

const setting = z.object({ value: z.enum(["on", "off"]) });

/** The global certificate for origins, which Cloudflare's zone settings switch on and off. */
export function globalPullEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, edge, clock } = context;
  const path = "/zones/{zone_id}/settings/tls_client_auth";
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "Whether a zone's origins are shown the global certificate",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const rows = await listGlobalPullZones(store.db, accountId);
        return { result: shownGlobalPull(rows.find(({ id }) => id === zone.id)) };
      },
    ),
    endpoint(
      {
        method: "patch",
        path,
        summary: "Show a zone's origins the global certificate, or do not",
        scope: "ssl_certs:write",
        body: setting,
      },
      async ({ caller, params, body: { value } }) => {
        const { accountId } = caller;
        const row = await applyChange({ store, edge }, async (write) => {
          const { id, name } = await existingZone(write.db, accountId, params["zone_id"]);
          const after: GlobalPullZoneRow = {
            id,
            accountId,
            zone: name,
            enabled: value === "on" ? 1 : 0,
            modifiedOn: clock().toISOString(),
          };
          await putGlobalPullZone(write.db, after);
          await settleGlobalPull(write, context, accountId);
          return {
            value: after,
            audit: {
              by: actorOf(caller),
              action: "host.pull.global" as const,
              accountId,
              resource: { type: "zone", id, name },
              after: { value },
            },
          };
        });
        return { result: shownGlobalPull(row) };
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/countersign/origin_pull_authorities",
        summary: "The CAs of the global certificate, for origins to trust",
        scope: "ssl_certs:read",
      },
      async () => {
        const there = await listPullAuthorities(store.db);
        const now = clock().toISOString();
        const rows = there.some(({ notAfter }) => notAfter > now)
          ? there.filter(({ notAfter }) => notAfter > now)
          : await store.housekeep(({ db }) => pullAuthorities(db, context));
        return {
          result: rows.map(({ id, certificate, notAfter, createdOn }) => ({
            id,
            certificate,
            expires_on: notAfter,
            created_on: createdOn,
          })),
        };
      },
    ),
  ];
}

export function shownGlobalPull(row: GlobalPullZoneRow | undefined): object {
  return {
    id: "tls_client_auth",
    value: row?.enabled === 1 ? "on" : "off",
    editable: true,
    modified_on: row?.modifiedOn ?? null,
  };
}
