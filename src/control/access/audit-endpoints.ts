import { z } from "@hono/zod-openapi";
import { type AuditEntry, listAudit } from "../../store/access/audit.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";

const count = (most: number): z.ZodPipe<z.ZodString, z.ZodTransform<number, string>> =>
  z
    .string()
    .regex(/^\d{1,9}$/, "is not a whole number")
    .transform((text) => Math.min(Math.max(Number(text), 1), most));
const moment = z
  .string()
  .refine((text) => !Number.isNaN(Date.parse(text)), "is not a time")
  .transform((text) => new Date(text).toISOString());

const filter = z.object({
  page: count(1_000_000).optional(),
  per_page: count(1000).optional(),
  direction: z.enum(["asc", "desc"]).default("desc"),
  since: moment.optional(),
  before: moment.optional(),
  "actor.email": z.string().optional(),
  "action.type": z.string().optional(),
});

/** Cloudflare's audit logs of an account, from the platform's own audit log. */
export function auditEndpoints({ store }: ControlContext): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/audit_logs",
        summary: "What was done in the account, and by whom",
        scope: "auditlogs:read",
        query: filter,
      },
      async ({ caller, query }) => {
        const { page = 1, per_page: perPage = 100, since, before } = query;
        const email = query["actor.email"];
        const action = query["action.type"];
        const { entries, total } = await listAudit(store.db, {
          accountId: caller.accountId,
          ...(since !== undefined && { since }),
          ...(before !== undefined && { before }),
          ...(email !== undefined && { email }),
          ...(action !== undefined && { action }),
          oldestFirst: query.direction === "asc",
          limit: perPage,
          offset: (page - 1) * perPage,
        });
        return {
          result: entries.map(shown),
          resultInfo: {
            page,
            per_page: perPage,
            count: entries.length,
            total_count: total,
            total_pages: Math.ceil(total / perPage),
          },
        };
      },
    ),
  ];
}

function shown(entry: AuditEntry): object {
  const { by, resource, fingerprint, before, after, accountId } = entry;
  return {
    id: entry.id,
    when: entry.at,
    interface: by.kind === "admin" ? "CLI" : "API",
    action: { type: entry.action, result: true },
    actor: { id: by.id, email: by.email, type: by.kind, ip: by.address },
    owner: { id: accountId },
    resource: { type: resource.type, id: resource.id },
    metadata: {
      ...(resource.name != null && { name: resource.name }),
      ...(fingerprint !== undefined && { fingerprint }),
      sequence: entry.sequence,
    },
    ...(before && { oldValue: JSON.stringify(before), oldValueJson: before }),
    ...(after && { newValue: JSON.stringify(after), newValueJson: after }),
  };
}
