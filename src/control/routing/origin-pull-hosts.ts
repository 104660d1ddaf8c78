import { z } from "@hono/zod-openapi";
import { randomBytes } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import {
  deletePullHost,
  listPullCertificates,
  listPullHosts,
  putPullHost,
} from "../../store/hosts/origin-pulls.ts";
import type { OriginPullCertificateRow, OriginPullHostRow } from "../../store/schema.ts";
import { applyChange } from "../api/apply-change.ts";
import { actorOf } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { oneLine } from "../api/text.ts";
import { existingZone } from "./custom-certificates.ts";
import { shownPullHost } from "./origin-pull-shown.ts";
import { isHost, type Zone } from "./zones.ts";

const association = z.object({
  hostname: oneLine.max(253).optional(),
  cert_id: oneLine.max(100).optional(),
  /** Null: removes the association. */
  enabled: z.boolean().nullish(),
});
const associations = z.object({ config: z.array(association).min(1).max(1000) });

/** Which certificate the origin of one host is shown. */
export function originPullHostEndpoints(
  { store, edge, clock, limits }: ControlContext,
  path: string,
): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "put",
        path,
        summary: "Say which certificates the origins of hosts are shown",
        scope: "ssl_certs:write",
        body: associations,
      },
      async ({ caller, params, body }) => {
        const { accountId } = caller;
        const shown = await applyChange({ store, edge }, async ({ db, changed }) => {
          const zone = await existingZone(db, accountId, params["zone_id"]);
          const certificates = await listPullCertificates(db, accountId, {
            zone: zone.name,
            level: "hostname",
          });
          const rows = new Map((await listPullHosts(db, accountId)).map((row) => [row.host, row]));
          const results: object[] = [];
          for (const { hostname, cert_id, enabled } of body.config) {
            const host = hostIn(zone, hostname);
            const before = rows.get(host);
            const certificate = certificateOf(certificates, host, cert_id ?? before?.certificateId);
            const now = clock().toISOString();
            const row: OriginPullHostRow = {
              id: before?.id ?? randomBytes(16).toString("hex"),
              accountId,
              zone: zone.name,
              host,
              certificateId: certificate.id,
              enabled: enabled === false ? 0 : 1,
              createdOn: before?.createdOn ?? now,
              updatedOn: now,
            };
            if (enabled === null) {
              rows.delete(host);
              if (before !== undefined) await deletePullHost(db, before.id);
            } else {
              rows.set(host, row);
              await putPullHost(db, row);
            }
            results.push(shownPullHost(row, certificate, enabled === null));
          }
          if (rows.size > limits.dnsRecords) {
            throw new Failure("origin_pull_invalid", {
              message: `more than ${limits.dnsRecords} hosts of the account would have a certificate of their own`,
              fix: "Void associations that nothing needs, or let the zone's certificate count.",
            });
          }
          await changed({ kind: "hosts", accountId });
          return {
            value: results,
            audit: {
              by: actorOf(caller),
              action: "host.pull.hosts" as const,
              accountId,
              resource: { type: "zone", id: zone.id, name: zone.name },
              after: { config: body.config },
            },
          };
        });
        return list(shown);
      },
    ),
    endpoint(
      {
        method: "get",
        path: `${path}/{hostname}`,
        summary: "Which certificate the origin of a host is shown",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId }, params }) => {
        const zone = await existingZone(store.db, accountId, params["zone_id"]);
        const host = hostIn(zone, params["hostname"]);
        const row = (await listPullHosts(store.db, accountId)).find((one) => one.host === host);
        if (row === undefined) throw new Failure("origin_pull_not_found");
        const certificates = await listPullCertificates(store.db, accountId);
        return {
          result: shownPullHost(row, certificateOf(certificates, host, row.certificateId)),
        };
      },
    ),
  ];
}

/** @throws Failure `origin_pull_invalid` */
function hostIn({ name: zone }: Zone, text = ""): string {
  const host = text.toLowerCase().replace(/\.$/, "");
  const isInside = host === zone || host.endsWith(`.${zone}`);
  if (isInside && isHost(host.replace(/^\*\./, ""))) return host;
  throw new Failure("origin_pull_invalid", {
    message: `"${text.slice(0, 253)}" is not a host of the zone "${zone}"`,
  });
}

/** @throws Failure `origin_pull_invalid` */
function certificateOf(
  certificates: readonly OriginPullCertificateRow[],
  host: string,
  id: string | undefined,
): OriginPullCertificateRow {
  const found = certificates.find((one) => one.id === id);
  if (found !== undefined) return found;
  throw new Failure("origin_pull_invalid", {
    message: `no certificate for hostnames of the zone is "${id ?? ""}", which "${host}" is to present`,
  });
}
