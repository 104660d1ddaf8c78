import { z } from "@hono/zod-openapi";
import type { ResourceRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { oneLine } from "../api/text.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { at, runSql, sqlAnswer, type D1Call } from "./d1-query.ts";
import { asked } from "./resource.ts";
import { TRANSFERS, type Transfers } from "./transfers.ts";

interface Databases {
  /** Its path. */
  readonly one: string;
  readonly find: (call: D1Call) => Promise<ResourceRow>;
}

const importing = z.object({
  action: z.enum(["init", "ingest", "poll"]),
  etag: oneLine.optional(),
  filename: oneLine.optional(),
  current_bookmark: oneLine.nullish(),
});
const exporting = z.object({
  output_format: oneLine.optional(),
  current_bookmark: oneLine.nullish(),
  dump_options: z
    .object({
      no_schema: z.boolean().nullish(),
      no_data: z.boolean().nullish(),
      tables: z.array(oneLine).max(10_000).nullish(),
    })
    .nullish(),
});

/** `wrangler d1 execute --file` and `wrangler d1 export`. Each call is finished when it is answered. */
export function d1FileEndpoints(
  context: ControlContext,
  transfers: Transfers,
  { one, find }: Databases,
): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "post",
        path: `${one}/import`,
        summary: "Run the SQL of a file",
        scope: "workers_scripts:write",
        body: importing,
      },
      async (call) => {
        const row = await find(call);
        const { action, filename = "" } = call.body;
        if (action === "init") {
          const id = transfers.open(row.accountId, null);
          const upload_url = urlOf(call.request, id);
          return { result: { ...begun, upload_url, filename: id } };
        }
        if (action === "poll") return { result: { ...begun, status: "complete", result: {} } };
        const sql = transfers.take(filename, row.accountId);
        call.held.add(sql.byteLength);
        const answer = await asked(context, {
          ...at(row),
          method: "POST",
          path: "/import",
          body: sql,
        });
        const result = sqlAnswer(Buffer.from(answer.body).toString()) as object;
        return { result: { ...begun, status: "complete", messages: [], result } };
      },
    ),
    endpoint(
      {
        method: "post",
        path: `${one}/export`,
        summary: "A database as SQL",
        scope: "workers_scripts:read",
        body: exporting,
      },
      async (call) => {
        const row = await find(call);
        const { no_schema: noSchema, no_data: noData, tables } = call.body.dump_options ?? {};
        const params = [noSchema ? 1 : 0, noData ? 1 : 0, ...(tables ?? [])];
        const dump = (await runSql(context, row, [{ sql: DUMP, params }], false)) as Dump;
        const text = Object.values(dump[0]?.results[0] ?? {}).join("\n");
        const signed_url = urlOf(call.request, transfers.open(row.accountId, Buffer.from(text)));
        const result = { filename: `${row.name}.sql`, signed_url };
        return { result: { ...begun, status: "complete", messages: [], result } };
      },
    ),
  ];
}

function urlOf(request: Request, id: string): string {
  return `${new URL(request.url).origin}/client/v4${TRANSFERS}/${id}`;
}

const DUMP = "PRAGMA miniflare_d1_export(?,?,?);";

type Dump = readonly { readonly results: readonly object[] }[];

const begun = { success: true, type: "import", at_bookmark: "0", messages: [] };
