import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { counter } from "./helpers/durable-objects.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

let platform: TestPlatform;
before(async () => {
  platform = await startPlatform();
});
after(() => platform?.[Symbol.asyncDispose]());

const deploy = async (name: string, code: string, metadata: object): Promise<void> => {
  const form = scriptForm(
    { compatibility_date: "2026-11-01", ...metadata },
    { "index.js": ["application/javascript+module", code] },
  );
  const { json } = await platform.api("PUT", `/accounts/{account}/workers/scripts/${name}`, form);
  assert.ok(json.success, JSON.stringify(json.errors));
};

it("a Worker that calls one whose objects are handed over waits for it", async () => {
  const bindings = [{ type: "durable_object_namespace", name: "COUNTER", class_name: "Counter" }];
  const migrations = { new_tag: "v1", new_sqlite_classes: ["Counter"] };
  const code = `${counter()}
import { WorkerEntrypoint } from "cloudflare:workers";
export class Hits extends WorkerEntrypoint {
  hit() { return this.env.COUNTER.getByName("a").hit(); }
}`;
  await deploy("called", code, { bindings, migrations });
  await deploy(
    "caller",
    `export default {
      async fetch(request, env) {
        const fetched = await (await env.CALLED.fetch("http://called/b/hit")).json();
        return Response.json([await env.HITS.hit(), fetched]);
      },
    };`,
    {
      bindings: [
        { type: "service", name: "CALLED", service: "called" },
        { type: "service", name: "HITS", service: "called", entrypoint: "Hits" },
      ],
    },
  );
  let count = 0;
  const over = new AbortController();
  const steadily = (async () => {
    while (!over.signal.aborted) {
      const { status, body } = await platform.worker("caller");
      assert.equal(status, 200, `${body} ${platform.log()}`);
      count++;
      assert.deepEqual(JSON.parse(body), [count, count]);
    }
  })();
  for (const version of [2, 3]) {
    await deploy("called", `${code}\n// ${version}`, { bindings });
  }
  over.abort();
  await steadily;
  assert.ok(count > 2);
});
