import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import {
  findResource,
  findResourceByName,
  listResources,
  updateResource,
} from "../../store/resources.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { Caller } from "../api/auth.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { kvKeyEndpoints } from "./kv-keys.ts";
import { resourceAudit, makeResource, removeResource, taken } from "./resource.ts";

const titled = z.object({ title: z.string().min(1).max(512) });

/** `wrangler kv namespace`. */
export function kvEndpoints(context: ControlContext): readonly Endpoint[] {
  const { store, clock } = context;
  const path = "/accounts/{account_id}/storage/kv/namespaces";
  const one = `${path}/{namespace_id}`;
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "List KV namespaces",
        scope: read,
        query: z.object({ direction: z.enum(["asc", "desc"]).optional() }),
      },
      async ({ caller, query }) => {
        const all = await listResources(store.db, caller.accountId, "kv");
        return list((query.direction === "desc" ? all.toReversed() : all).map(shown));
      },
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Make a KV namespace",
        scope: write,
        body: titled.extend({ jurisdiction: oneLine.optional(), mode: oneLine.optional() }),
      },
      async ({ caller, body }) => ({
        result: shown(
          await makeResource(context, caller, {
            kind: "kv",
            name: body.title,
            exists: "kv_namespace_exists",
          }),
        ),
      }),
    ),
    endpoint(
      { method: "get", path: one, summary: "One KV namespace", scope: read },
      async (call) => ({ result: shown(await namespaceOf(context, call)) }),
    ),
    endpoint(
      { method: "put", path: one, summary: "Rename a KV namespace", scope: write, body: titled },
      async (call) => {
        const row = await namespaceOf(context, call);
        const { title } = call.body;
        await store.write(async ({ db }) => {
          const other = await findResourceByName(db, row.accountId, "kv", title);
          if (other && other.id !== row.id) throw taken("kv_namespace_exists", title);
          await updateResource(db, row, { name: title, modifiedOn: clock().toISOString() });
          return {
            value: null,
            audit: resourceAudit(call.caller, "change", { ...row, name: title }),
          };
        });
        return { result: shown({ ...row, name: title }) };
      },
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete a KV namespace", scope: write },
      async (call) => {
        const row = await namespaceOf(context, call);
        await removeResource(context, call.caller, row, { type: "kv_namespace", target: row.id });
        return { result: null };
      },
    ),
    ...kvKeyEndpoints(context, one, (call) => namespaceOf(context, call)),
  ];
}

/** @throws Failure `kv_namespace_not_found` */
async function namespaceOf(
  { store }: ControlContext,
  { caller, params }: { caller: Caller; params: Readonly<Record<string, string>> },
): Promise<ResourceRow> {
  const id = params["namespace_id"] ?? "";
  const row = await findResource(store.db, caller.accountId, "kv", id);
  if (row) return row;
  throw new Failure("kv_namespace_not_found", {
    message: `there is no KV namespace "${id.slice(0, 100)}"`,
  });
}

function shown({ id, name }: ResourceRow): object {
  return { id, title: name, supports_url_encoding: true };
}
