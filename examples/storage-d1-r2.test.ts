import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";
import { wranglerProject, type WranglerProject } from "../test/helpers/wrangler.ts";

const worker = `export default {
  async fetch(request, env) {
    const { results } = await env.DB.prepare("SELECT name FROM people ORDER BY name").all();
    const file = await env.FILES.get("hello.txt");
    return Response.json({ names: results.map(({ name }) => name), file: await file?.text() });
  },
};`;

describe("D1 and R2, deployed and filled by an unmodified wrangler", () => {
  let platform: TestPlatform;
  let project: WranglerProject;
  before(async () => {
    platform = await startPlatform();
    const { api, token, accountId } = platform.ready;
    project = await wranglerProject({ api, token, accountId });
  });
  after(async () => {
    await project?.[Symbol.asyncDispose]();
    await platform?.[Symbol.asyncDispose]();
  });

  const wrangler = async (...args: string[]): Promise<string> => {
    const run = await project.run(args);
    assert.equal(run.exitCode, 0, run.output);
    return run.stdout;
  };

  it("migrations, statements and files make a database, and an export has it all", async () => {
    const said = await wrangler("d1", "create", "people");
    const id = /"database_id": "([0-9a-f-]{36})"/.exec(said)?.[1];
    assert.ok(id, said);
    await wrangler("r2", "bucket", "create", "files");
    await project.write({
      "index.js": worker,
      "wrangler.json": {
        name: "people",
        main: "index.js",
        compatibility_date: "2026-11-01",
        d1_databases: [{ binding: "DB", database_name: "people", database_id: id }],
        r2_buckets: [{ binding: "FILES", bucket_name: "files" }],
      },
      "migrations/0001_people.sql":
        "CREATE TABLE people (name TEXT);\nCREATE TRIGGER longer AFTER INSERT ON people BEGIN UPDATE people SET name = upper(name); END;\n-- the end\n",
      "more.sql": `${Array.from({ length: 3000 }, (_, n) => `INSERT INTO people VALUES ('p${n} ${"x".repeat(60)}');`).join("\n")}\n-- a comment`,
    });
    await wrangler("d1", "migrations", "apply", "people", "--remote");
    assert.match(await wrangler("d1", "migrations", "list", "people", "--remote"), /No migrations/);
    await wrangler(
      "d1",
      "execute",
      "people",
      "--remote",
      "--command",
      "INSERT INTO people VALUES ('ada')",
    );
    const rows = await wrangler(
      "d1",
      "execute",
      "people",
      "--remote",
      "--json",
      "--command",
      "SELECT name FROM people",
    );
    assert.deepEqual((JSON.parse(rows) as [{ results: unknown }])[0].results, [{ name: "ADA" }]);
    const loaded = await wrangler(
      "d1",
      "execute",
      "people",
      "--remote",
      "--file",
      "more.sql",
      "-y",
    );
    assert.match(loaded, /Executed 3000 queries/);
    await wrangler(
      "d1",
      "execute",
      "people",
      "--remote",
      "-y",
      "--command",
      "DELETE FROM people WHERE name <> 'ADA'",
    );
    await wrangler("d1", "export", "people", "--remote", "--output", "out.sql");
    const dump = await readFile(join(project.folder, "out.sql"), "utf8");
    assert.match(dump, /CREATE TABLE people[\s\S]*INSERT INTO "people" \("name"\) VALUES\('ADA'\)/);
    assert.match(await wrangler("d1", "info", "people"), /people/);
    assert.match(await wrangler("d1", "list"), /people/);
  });

  it("objects that wrangler wrote are what the Worker reads", async () => {
    await project.write({ "hello.txt": "hello" });
    await wrangler("r2", "object", "put", "files/hello.txt", "--file", "hello.txt", "--remote");
    await wrangler("deploy");
    assert.deepEqual(JSON.parse((await platform.worker("people")).body), {
      names: ["ADA"],
      file: "hello",
    });
    await wrangler("r2", "object", "get", "files/hello.txt", "--file", "got.txt", "--remote");
    assert.equal(await readFile(join(project.folder, "got.txt"), "utf8"), "hello");
    assert.match(await wrangler("r2", "bucket", "info", "files"), /files/);
    assert.match(await wrangler("r2", "bucket", "list"), /files/);
    const full = await project.run(["r2", "bucket", "delete", "files"]);
    assert.match(full.output, /not empty/);
    await wrangler("r2", "object", "delete", "files/hello.txt", "--remote");
    const bound = await project.run(["d1", "delete", "people", "-y"]);
    assert.match(bound.output, /is bound by "people"/);
    await wrangler("delete", "--force");
    await wrangler("d1", "delete", "people", "-y");
    await wrangler("r2", "bucket", "delete", "files");
  });
});
