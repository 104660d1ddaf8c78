import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import { listProxiedZones, replaceProxiedZones } from "../../store/hosts/proxied-zones.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { hostPattern } from "../../network/host-pattern.ts";

const zone = hostPattern.refine((name) => !name.startsWith("*."), "is not the name of a zone");
const chosen = z.object({ zones: z.array(zone).max(1000) });

/** Zones behind another proxy, whose hosts are never presented a client certificate. */
export function proxiedZoneEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  const path = "/accounts/{account_id}/countersign/proxied_zones";
  return [
    endpoint(
      { method: "get", path, summary: "The zones marked proxied", scope: "ssl_certs:read" },
      async ({ caller }) => ({
        result: { zones: await listProxiedZones(store.db, caller.accountId) },
      }),
    ),
    endpoint(
      {
        method: "put",
        path,
        summary: "Say which zones are proxied",
        scope: "ssl_certs:write",
        body: chosen,
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const zones = [...new Set(body.zones)].toSorted();
        await applyChange({ store, edge }, async ({ db, changed }) => {
          const before = await listProxiedZones(db, accountId);
          await replaceProxiedZones(db, accountId, zones);
          await changed({ kind: "trust", accountId });
          return {
            value: null,
            audit: {
              by: actorOf(caller),
              action: "trust.proxied_zones",
              accountId,
              resource: { type: "account", id: accountId },
              before: { zones: before },
              after: { zones },
            },
          };
        });
        return { result: { zones } };
      },
    ),
  ];
}
