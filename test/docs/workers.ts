import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { makeAuthority } from "../helpers/pki.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";
import { block, root } from "./blocks.ts";
import type { Setting } from "./setting.ts";

/** The blocks about what Workers are bound to, do and store. */
export function workers(setting: () => Setting): void {
  it("in-process.md, events.md, observability.md: a Worker's bindings, crons and logs", async () => {
    const { platform, person, deploy } = setting();
    const [id = ""] = /[0-9a-f-]{36}/.exec(
      (await person.run("countersign certificate show my-cert --json")).stdout,
    ) ?? [""];
    const bindings = [{ type: "mtls_certificate", name: "PAYMENTS", certificate_id: id }];
    const code = `export default {
      fetch(request) {
        console.log("asked");
        if (request.method === "POST") throw new Error("for the tail");
        return new Response("ok");
      },
      scheduled() {},
    };`;
    await deploy("shop", code, { bindings });
    await person.run(block("docs/in-process.md", "binding set shop"));
    await deploy("reports", code);
    const crons = [{ cron: "*/15 * * * *" }];
    await platform.api("PUT", "/accounts/{account}/workers/scripts/reports/schedules", crons);
    await person.run(block("docs/events.md", "cron run reports"));
    const { headers } = await platform.worker("shop");
    const logs = block("docs/observability.md", "countersign logs shop").trim().split("\n");
    assert.match(logs[2]!, /--follow/);
    await person.until(logs[2]!.split("#")[0]!, /asked/, { ends: [null] });
    logs.splice(2, 1);
    const ray = String(headers["cf-ray"]).split("-")[0]!;
    await person.run(logs.join("\n").replace("5f2c0a9b8d7e6f10", ray));
    const tails = block("docs/observability.md", "wrangler tail shop").trim().split("\n");
    for (const line of tails) await tailed(line);
  });

  /** The output of `wrangler tail`, with requests repeated until it prints one, because it samples. */
  const tailed = async (line: string): Promise<void> => {
    const { platform, person } = setting();
    const seen = new AbortController();
    const asking = async (): Promise<void> => {
      while (!seen.signal.aborted) await posted(platform.ready.http, "shop.localhost");
    };
    const asked = asking();
    try {
      await person.until(line, /POST/, { ends: [null, 0, 143] });
    } finally {
      seen.abort();
    }
    await asked;
  };

  it("storage.md and events.md: wrangler makes what Workers keep, and queues", async () => {
    const { person } = setting();
    person.write({
      "files/hello.txt": "hello",
      "hello.txt": "hello",
      "migrations/0001_people.sql": "CREATE TABLE people (id INTEGER PRIMARY KEY);",
    });
    const lines = block("docs/storage.md", "wrangler kv namespace create").trim().split("\n");
    for (const line of lines) {
      const made = await person.run(line);
      const [, id] = /"database_id": "([^"]+)"/.exec(made.stdout) ?? [];
      if (id) {
        const databases = [{ binding: "DB", database_name: "people", database_id: id }];
        person.write({
          "wrangler.json": JSON.stringify({ name: "storing", d1_databases: databases }),
        });
      }
    }
    const text = readFileSync(join(root, "docs/events.md"), "utf8");
    const queue = [...text.matchAll(/```jsonc\n(.*?)```/gs)].find(([, one]) =>
      one!.includes('"queues"'),
    )![1]!;
    const started = `{ "name": "working", "main": "index.js", "compatibility_date": "2026-11-01", `;
    person.write({
      "wrangler.json": queue.replace("{", started),
      "index.js": "export default { async queue() {}, fetch: () => new Response('') };",
    });
    await person.run(block("docs/events.md", "queues create jobs"));
  });

  it(
    "databases.md: a database by wrangler, and step by step",
    { skip: withoutPostgres },
    async (t) => {
      const { person } = setting();
      const databases = await makeAuthority("Databases");
      const server = await startPostgres(t, databases);
      const { chain, key } = await databases.issue({ subject: "CN=client" });
      person.write({ "client.pem": chain, "client-key.pem": key, "db-ca.pem": databases.pem });
      const [upload = "", ca = "", create = ""] = block("docs/databases.md", "hyperdrive create")
        .trim()
        .split("\n");
      const ids = [idOf((await person.run(upload)).stdout), idOf((await person.run(ca)).stdout)];
      const database = `client:PASSWORD@localhost:${server.port}/postgres`;
      await person.run(
        create
          .replace("shop:PASSWORD@db.example.com:5432/shop", database)
          .replace(/\bID\b/, ids[0]!)
          .replace(/\bID\b/, ids[1]!),
      );
      const steps = block("docs/databases.md", "countersign hyperdrive test");
      const { stdout } = await person.run(
        steps.replace("db.example.com:5432", `localhost:${server.port}`),
      );
      assert.match(stdout, /signed in/);
    },
  );
}

/** `fetch()` does not let its callers set the host. */
async function posted(url: string, host: string): Promise<void> {
  const asked = request(url, { method: "POST", headers: { host }, agent: false }).end();
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
}

/** The id in wrangler's output of an upload. */
function idOf(said: string): string {
  return /ID: (\S+)/.exec(said)![1]!;
}
