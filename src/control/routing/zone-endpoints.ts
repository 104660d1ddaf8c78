import { z } from "@hono/zod-openapi";
import { applyChange } from "../api/apply-change.ts";
import { Failure } from "../../failures/failures.ts";
import { deleteZone, insertZone, listZones, zoneByName } from "../../store/hosts/zones.ts";
import type { ZoneRow } from "../../store/schema.ts";
import type { Audit } from "../../store/access/audit.ts";
import { actorOf, type Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { assertRoom } from "../api/room.ts";
import { oneLine } from "../api/text.ts";
import { shownZone } from "./routes.ts";
import { hostOfAnother } from "./host-owners.ts";
import { isHost, zoneNamed } from "./zones.ts";

const wanted = z.object({
  name: oneLine,
  account: z.object({ id: oneLine.optional() }).optional(),
  type: oneLine.optional(),
});

/** Zones that are created, as by Cloudflare's SDK and Terraform. Other zones follow from routes. */
export function zoneEndpoints({ store, edge, clock }: ControlContext): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "post",
        path: "/zones",
        summary: "Make a zone",
        scope: "workers_routes:write",
        body: wanted,
      },
      async ({ caller, body }) => {
        const { accountId } = caller;
        if ((body.account?.id ?? accountId) !== accountId) throw new Failure("not_permitted");
        const name = body.name.toLowerCase();
        if (!isHost(name)) {
          throw new Failure("request_invalid", {
            message: `"${name.slice(0, 100)}" is not the name of a zone`,
          });
        }
        await applyChange({ store, edge }, async ({ db, changed }) => {
          if (await zoneByName(db, name)) {
            throw new Failure("zone_taken", { message: `the zone "${name}" exists` });
          }
          // The owner of a zone decides where its hosts lead, so none of them may belong to another account.
          if ((await hostOfAnother(db, accountId, [name, `*.${name}`])) !== null) {
            throw new Failure("zone_taken", {
              message: `the zone "${name}" has hosts of another account`,
              fix: "Make a zone of a name that no other account has hosts in.",
            });
          }
          await assertRoom(db, accountId, "zones");
          const { id } = zoneNamed(accountId, name);
          const row: ZoneRow = { id, accountId, name, createdOn: clock().toISOString() };
          await insertZone(db, row);
          // Settings of a parent zone do not apply within a new zone, so hosts have changed.
          await changed({ kind: "hosts", accountId });
          return { value: null, audit: auditOf(caller, "zone.create", row) };
        });
        return { result: shownZone(accountId, name) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: "/zones/{zone_id}",
        summary: "Delete a zone that was made, and the certificates of its hosts",
        scope: "workers_routes:write",
      },
      async ({ caller, params }) => {
        const { accountId } = caller;
        await applyChange({ store, edge }, async ({ db, changed }) => {
          const zones = await listZones(db, accountId);
          const zone = zones.find(({ id }) => id === params["zone_id"]);
          if (zone === undefined) throw new Failure("zone_not_found");
          await deleteZone(db, zone);
          await changed({ kind: "hosts", accountId });
          return { value: null, audit: auditOf(caller, "zone.delete", zone) };
        });
        return { result: { id: params["zone_id"] } };
      },
    ),
  ];
}

function auditOf(caller: Caller, action: Audit["action"], { id, name, accountId }: ZoneRow): Audit {
  return { by: actorOf(caller), action, accountId, resource: { type: "zone", id, name } };
}
