import { z } from "@hono/zod-openapi";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { deleteAccess, listAccess, putAccess } from "../../store/access/access.ts";
import type { ServiceTokenRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { changeAccess, existingAccess } from "./access-change.ts";
import { durationMs } from "./duration.ts";

const name = z.string().min(1).max(255);
const secret = {
  client_secret_version: z.number().int().min(1).optional(),
  previous_client_secret_expires_at: z.iso.datetime({ offset: true }).optional(),
};
const creation = z.object({
  name,
  duration: oneLine.optional(),
  enabled: z.boolean().optional(),
  ...secret,
});
const change = creation.partial();
const rotation = z
  .object({ previous_client_secret_expires_at: secret.previous_client_secret_expires_at })
  .optional();

/** A year, as on Cloudflare. */
const DEFAULT_DURATION = "8760h";
/** Service tokens for each account. */
const MOST_TOKENS = 1000;

/** Ids and secrets with which Access lets machines in. A secret is shown once, and only its hash is stored. */
export function serviceTokenEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/access/service_tokens";
  const [read, write] = ["ssl_certs:read", "ssl_certs:write"] as const;
  const alter = (
    caller: Caller,
    id: string | undefined,
    action: `access.service_token_${string}`,
    altered: (row: ServiceTokenRow) => ServiceTokenRow,
  ): Promise<ServiceTokenRow> =>
    changeAccess(context, caller, async ({ db }) => {
      const before = await existingAccess(db, "serviceTokens", caller, id);
      const row = { ...altered(before), updatedOn: clock().toISOString() };
      await putAccess(db, "serviceTokens", row);
      return {
        value: row,
        action,
        resource: resourceOf(row),
        before: facts(before),
        after: facts(row),
      };
    });
  return [
    endpoint(
      { method: "get", path, summary: "Service tokens of Access", scope: read, query: nameFilter },
      async ({ caller, query }) => {
        const rows = await listAccess(store.db, "serviceTokens", caller.accountId);
        return list(
          rows
            .filter((row) => query.name === undefined || row.name === query.name)
            .filter((row) => query.search === undefined || row.name.includes(query.search))
            .map(shown),
        );
      },
    ),
    endpoint(
      { method: "post", path, summary: "Make a service token", scope: write, body: creation },
      async ({ caller, body }) => {
        const { accountId } = caller;
        const now = clock();
        const value = newSecret();
        const duration = body.duration ?? DEFAULT_DURATION;
        const row: ServiceTokenRow = {
          id: randomUUID(),
          accountId,
          name: body.name,
          clientId: `${randomBytes(16).toString("hex")}.access`,
          secretHash: hashOf(value),
          previousHash: null,
          previousUntil: null,
          secretVersion: body.client_secret_version ?? 1,
          enabled: body.enabled === false ? 0 : 1,
          duration,
          expiresOn: endOf(now, duration),
          createdOn: now.toISOString(),
          updatedOn: now.toISOString(),
        };
        await changeAccess(context, caller, async ({ db }) => {
          const others = await listAccess(db, "serviceTokens", accountId);
          if (others.length >= MOST_TOKENS) {
            throw new Failure("access_invalid", {
              message: `the account has ${MOST_TOKENS} service tokens: no more can be made`,
            });
          }
          await putAccess(db, "serviceTokens", row);
          const resource = resourceOf(row);
          return { value: row, action: "access.service_token_create", resource, after: facts(row) };
        });
        return { status: 201, result: { ...shown(row), client_secret: value } };
      },
    ),
    endpoint(
      { method: "get", path: `${path}/{token_id}`, summary: "One service token", scope: read },
      async ({ caller, params }) => ({
        result: shown(await existingAccess(store.db, "serviceTokens", caller, params["token_id"])),
      }),
    ),
    endpoint(
      {
        method: "put",
        path: `${path}/{token_id}`,
        summary: "Change a service token",
        scope: write,
        body: change,
      },
      async ({ caller, params, body }) => {
        let value: string | undefined;
        const row = await alter(
          caller,
          params["token_id"],
          "access.service_token_update",
          (old) => {
            const duration = body.duration ?? old.duration;
            let next: ServiceTokenRow = {
              ...old,
              name: body.name ?? old.name,
              enabled: body.enabled === undefined ? old.enabled : Number(body.enabled),
              duration,
              expiresOn: duration === old.duration ? old.expiresOn : endOf(clock(), duration),
            };
            const version = body.client_secret_version ?? old.secretVersion;
            if (version !== old.secretVersion) {
              const fresh = renewed(next, version, body.previous_client_secret_expires_at);
              next = fresh.row;
              value = fresh.value;
            }
            return next;
          },
        );
        return { result: { ...shown(row), ...(value !== undefined && { client_secret: value }) } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/{token_id}/rotate`,
        summary: "Make a new secret; the one before works on for a while",
        scope: write,
        body: rotation,
      },
      async ({ caller, params, body }) => {
        let value = "";
        const row = await alter(
          caller,
          params["token_id"],
          "access.service_token_rotate",
          (old) => {
            const until = body?.previous_client_secret_expires_at;
            const fresh = renewed(old, old.secretVersion + 1, until);
            value = fresh.value;
            return fresh.row;
          },
        );
        return { result: { ...shown(row), client_secret: value } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${path}/{token_id}/refresh`,
        summary: "Start the duration of a service token again",
        scope: write,
      },
      async ({ caller, params }) => {
        const id = params["token_id"];
        const row = await alter(caller, id, "access.service_token_refresh", (old) => ({
          ...old,
          expiresOn: endOf(clock(), old.duration),
        }));
        return { result: shown(row) };
      },
    ),
    endpoint(
      {
        method: "delete",
        path: `${path}/{token_id}`,
        summary: "Revoke a service token",
        scope: write,
      },
      async ({ caller, params }) => {
        const row = await changeAccess(context, caller, async ({ db }) => {
          const before = await existingAccess(db, "serviceTokens", caller, params["token_id"]);
          await deleteAccess(db, "serviceTokens", before);
          return {
            value: before,
            action: "access.service_token_delete",
            resource: resourceOf(before),
            before: facts(before),
          };
        });
        return { result: shown(row) };
      },
    ),
  ];
}

const nameFilter = z.object({ name: z.string().optional(), search: z.string().optional() });

function newSecret(): string {
  return randomBytes(32).toString("hex");
}

function hashOf(value: string): string {
  return createHash("sha256").update(value).digest("hex");
}

function endOf(now: Date, duration: string): string | null {
  const ms = durationMs(duration);
  return ms === null ? null : new Date(now.getTime() + ms).toISOString();
}

function resourceOf({ id, name: named }: ServiceTokenRow): {
  type: string;
  id: string;
  name: string;
} {
  return { type: "service_token", id, name: named };
}

/** What the audit log records of a service token: never the secret, nor its hash. */
function facts(row: ServiceTokenRow): Record<string, unknown> {
  return {
    name: row.name,
    client_id: row.clientId,
    enabled: row.enabled === 1,
    expires_at: row.expiresOn,
    client_secret_version: row.secretVersion,
  };
}

function shown(row: ServiceTokenRow): Record<string, unknown> {
  return {
    id: row.id,
    client_id: row.clientId,
    name: row.name,
    enabled: row.enabled === 1,
    duration: row.duration,
    client_secret_version: row.secretVersion,
    ...(row.previousUntil !== null && { previous_client_secret_expires_at: row.previousUntil }),
    ...(row.expiresOn !== null && { expires_at: row.expiresOn }),
    created_at: row.createdOn,
    updated_at: row.updatedOn,
  };
}

/** A new secret. The previous one works until `until`; without it, it stops working at once. */
function renewed(
  row: ServiceTokenRow,
  version: number,
  until: string | undefined,
): { row: ServiceTokenRow; value: string } {
  const value = newSecret();
  return {
    value,
    row: {
      ...row,
      secretHash: hashOf(value),
      secretVersion: version,
      previousHash: until === undefined ? null : row.secretHash,
      previousUntil: until === undefined ? null : new Date(until).toISOString(),
    },
  };
}
