import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { observabilityOf } from "../../store/workers/observability.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { existingScript, keyOf } from "./lookup.ts";
import { tailFilters } from "./tail-filters.ts";
import type { Tail } from "../../contract/journal.ts";

const query = z.object({
  since: z.coerce.number().int().min(0).optional(),
  until: z.coerce.number().int().min(0).optional(),
  after: z
    .string()
    .regex(/^\d{1,20}$/)
    .optional(),
  ray: z
    .string()
    .regex(/^[0-9a-f]{16}(-[A-Z]{3})?$/)
    .optional(),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  follow: z.enum(["true", "false"]).optional(),
});

/** `wrangler tail`, and stored logs. */
export function logEndpoints({ store, logs }: ControlContext): readonly Endpoint[] {
  const script = "/accounts/{account_id}/workers/scripts/{script_name}";
  const scope = "workers_scripts:read";
  const tails = (): NonNullable<ControlContext["logs"]> => {
    if (logs !== undefined) return logs;
    throw new Failure("feature_unsupported", { message: "no logs are kept here" });
  };
  return [
    endpoint(
      {
        method: "post",
        path: `${script}/tails`,
        summary: "Begin to read a Worker's log as it comes",
        scope,
        body: z.object({ filters: tailFilters.default([]) }).default({ filters: [] }),
      },
      async (call) => {
        await existingScript(store.db, call);
        const { filters } = call.body;
        const made = await tails().tails.create(keyOf(call), {
          filters,
          address: call.caller.address,
        });
        return { result: shown(made) };
      },
    ),
    endpoint(
      { method: "get", path: `${script}/tails`, summary: "Who reads a Worker's log now", scope },
      async (call) => {
        await existingScript(store.db, call);
        return { result: tails().tails.list(keyOf(call)).map(withoutUrl) };
      },
    ),
    endpoint(
      { method: "delete", path: `${script}/tails/{tail_id}`, summary: "End a tail", scope },
      async (call) => {
        tails().tails.delete(keyOf(call), call.params["tail_id"] ?? "");
        return { result: null };
      },
    ),
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/countersign/scripts/{script_name}/logs",
        summary: "The log of a Worker, as far as it is kept",
        scope,
        query,
      },
      async (call) => {
        const row = await existingScript(store.db, call);
        const key = keyOf(call);
        const { follow, since, until, after, ray, limit } = call.query;
        if (follow === "true") await tails().tails.follow(key);
        const result = await tails().journal.read(key, {
          limit,
          ...(since !== undefined && { since }),
          ...(until !== undefined && { until }),
          ...(after !== undefined && { after }),
          ...(ray !== undefined && { ray }),
        });
        const isQuiet = observabilityOf(row) === undefined && follow !== "true";
        return { result, messages: isQuiet ? [QUIET] : [] };
      },
    ),
  ];
}

const QUIET =
  "Requests to this Worker are not kept: set `observability.enabled` in its Wrangler configuration, or read along with --follow";

function shown({ id, url, expiresAt }: Tail): object {
  return { id, url, expires_at: expiresAt.toISOString() };
}

/** Only the client that made a tail learns its URL. */
function withoutUrl({ id, expiresAt }: Tail): object {
  return { id, expires_at: expiresAt.toISOString() };
}
