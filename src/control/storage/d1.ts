import { z } from "@hono/zod-openapi";
import { Failure } from "../../failures/failures.ts";
import { findResource, findResourceByName, listResources } from "../../store/resources.ts";
import type { ResourceRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { d1FileEndpoints } from "./d1-files.ts";
import { at, runSql, type D1Call } from "./d1-query.ts";
import { asked, makeResource, removeResource } from "./resource.ts";
import type { Transfers } from "./transfers.ts";

const statement = z.object({ sql: z.string(), params: z.array(z.unknown()).optional() });
const statements = z.union([z.object({ batch: z.array(statement).min(1).max(1000) }), statement]);

const changed = z.strictObject({
  read_replication: z.strictObject({ mode: z.enum(["auto", "disabled"]) }).optional(),
});

/** `wrangler d1`. */
export function d1Endpoints(context: ControlContext, transfers: Transfers): readonly Endpoint[] {
  const { store } = context;
  const path = "/accounts/{account_id}/d1/database";
  const one = `${path}/{database_id}`;
  const read = "workers_scripts:read";
  const write = "workers_scripts:write";
  const find = (call: D1Call): Promise<ResourceRow> => databaseOf(context, call);
  return [
    endpoint(
      {
        method: "get",
        path,
        summary: "List D1 databases",
        scope: read,
        query: z.object({ name: z.string().optional() }),
      },
      async ({ caller, query }) => {
        const all = await listResources(store.db, caller.accountId, "d1");
        const { name = "" } = query;
        return list(all.filter((row) => row.name.includes(name)).map(shown));
      },
    ),
    endpoint(
      {
        method: "post",
        path,
        summary: "Make a D1 database",
        scope: write,
        body: z.object({
          name: z.string().regex(/^[\w-]{1,64}$/),
          primary_location_hint: oneLine.nullish(),
          jurisdiction: oneLine.nullish(),
        }),
      },
      async ({ caller, body }) => ({
        result: shown(
          await makeResource(context, caller, {
            kind: "d1",
            name: body.name,
            exists: "d1_database_exists",
          }),
        ),
      }),
    ),
    endpoint(
      { method: "get", path: one, summary: "One D1 database, by id or name", scope: read },
      async (call) => {
        const row = await find(call);
        const answer = await asked(context, { ...at(row), path: "/size" });
        const { bytes, tables } = JSON.parse(Buffer.from(answer.body).toString()) as Size;
        return { result: { ...shown(row), file_size: bytes, num_tables: tables } };
      },
    ),
    endpoint(
      { method: "delete", path: one, summary: "Delete a D1 database", scope: write },
      async (call) => {
        const row = await find(call);
        await removeResource(context, call.caller, row, { type: "d1", target: row.id });
        return { result: null };
      },
    ),
    ...(["put", "patch"] as const).map((method) =>
      endpoint(
        { method, path: one, summary: "Change a D1 database", scope: write, body: changed },
        async (call) => {
          const row = await find(call);
          if (call.body.read_replication?.mode === "auto") {
            throw new Failure("feature_unsupported", {
              message: "a D1 database is on one machine, and has no replicas to read from",
              fix: 'Leave `read_replication` out, or set its mode to "disabled".',
            });
          }
          return { result: shown(row) };
        },
      ),
    ),
    ...(["query", "raw"] as const).map((how) =>
      endpoint(
        {
          method: "post",
          path: `${one}/${how}`,
          summary: how === "query" ? "Run SQL" : "Run SQL, rows as lists",
          scope: write,
          body: statements,
          bodyLimit: 16 * 1024 * 1024,
        },
        async (call) => {
          const row = await find(call);
          const batch = "batch" in call.body ? call.body.batch : [call.body];
          return { result: await runSql(context, row, batch, how === "raw") };
        },
      ),
    ),
    ...d1FileEndpoints(context, transfers, { one, find }),
    ...["bookmark", "restore"].map((what) =>
      endpoint(
        {
          method: what === "bookmark" ? "get" : "post",
          path: `${one}/time_travel/${what}`,
          summary: "Time travel: refused",
          scope: read,
        },
        () => {
          throw new Failure("feature_unsupported", {
            message: "time travel is a feature of D1 that Countersign does not have",
            fix: "Use `wrangler d1 export` and `countersign backup`.",
          });
        },
      ),
    ),
  ];
}

interface Size {
  readonly bytes: number;
  readonly tables: number;
}

/** @throws Failure `d1_database_not_found` */
async function databaseOf(
  { store }: ControlContext,
  { caller: { accountId }, params }: D1Call,
): Promise<ResourceRow> {
  const wanted = params["database_id"] ?? "";
  const row =
    (await findResource(store.db, accountId, "d1", wanted)) ??
    (await findResourceByName(store.db, accountId, "d1", wanted));
  if (row) return row;
  throw new Failure("d1_database_not_found", {
    message: `there is no D1 database "${wanted.slice(0, 100)}"`,
  });
}

function shown({ id, name, createdOn }: ResourceRow): object {
  return {
    uuid: id,
    name,
    version: "production",
    created_at: createdOn,
    read_replication: { mode: "disabled" },
  };
}
