import assert from "node:assert/strict";
import { test } from "node:test";
import { startPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";

test("a query of D1 that does not end is ended, and everything else of the account goes on", async () => {
  await using platform = await startPlatform({ args: ["--dev", "--worker-cpu-limit", "1"] });
  const create = async (path: string, body: object) =>
    (await platform.api("POST", `/accounts/{account}/${path}`, body)).json.result;
  const { id } = await create("storage/kv/namespaces", { title: "kept" });
  const { uuid } = await create("d1/database", { name: "endless" });
  const query =
    "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c";
  const form = scriptForm(
    {
      compatibility_date: "2026-11-01",
      bindings: [
        { type: "kv_namespace", name: "KV", namespace_id: id },
        { type: "d1", name: "DB", id: uuid },
      ],
    },
    {
      "index.js": [
        "application/javascript+module",
        `export default { async fetch(request, env) {
          if (request.url.endsWith("/endless")) await env.DB.prepare("${query}").all();
          if (request.url.endsWith("/put")) await env.KV.put("key", "value");
          return new Response(await env.KV.get("key"));
        } };`,
      ],
    },
  );
  await platform.api("PUT", "/accounts/{account}/workers/scripts/busy", form);
  assert.equal((await platform.worker("busy", "/put")).body, "value");
  assert.notEqual((await platform.worker("busy", "/endless")).status, 200);
  assert.match(platform.log(), /"from":"storage".*it exceeded its CPU limit/);
  await until(async () => (await platform.worker("busy", "/")).body === "value");
});
