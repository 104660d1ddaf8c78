import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { developmentCa } from "../test/helpers/development-ca.ts";
import { spawnProgram } from "../test/helpers/dev-project.ts";
import { startPostgres, withoutPostgres } from "../test/helpers/postgres.ts";

const example = join(import.meta.dirname, "vitest-database");
before(() =>
  promisify(execFile)("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], {
    cwd: example,
  }),
);

async function copy(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "cs-vitest-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const filter = (source: string): boolean =>
    !/node_modules|\.countersign|\.wrangler/.test(source.slice(example.length));
  await cp(example, folder, { recursive: true, filter });
  await symlink(join(example, "node_modules"), join(folder, "node_modules"));
  return folder;
}

const run = ["node_modules/vitest/vitest.mjs", "run"];

test(
  "a Worker's tests in Vitest have a PostgreSQL that knows the Worker by its certificate",
  { skip: withoutPostgres },
  async (t) => {
    await using vitest = spawnProgram(process.execPath, run, await copy(t));
    assert.equal(await vitest.ended, 0, vitest.output);
    assert.match(vitest.output, /2 passed/);
  },
);

test(
  "in Vitest, too, the database may be the one that the Wrangler configuration names",
  { skip: withoutPostgres },
  async (t) => {
    const folder = await copy(t);
    const { port } = await startPostgres(t, await developmentCa(folder));
    const localConnectionString = `postgres://client:pw@localhost:${port}/postgres?sslmode=verify-full`;
    await rm(join(folder, "wrangler.jsonc"));
    await writeFile(
      join(folder, "wrangler.json"),
      JSON.stringify({
        name: "orders",
        main: "src/index.ts",
        compatibility_date: "2026-10-01",
        compatibility_flags: ["nodejs_compat"],
        hyperdrive: [{ binding: "DB", id: "none", localConnectionString }],
      }),
    );
    await writeFile(
      join(folder, "vitest.config.ts"),
      `import { cloudflareTest } from "@cloudflare/vitest-plugin";
      import { closing, mtls } from "countersign/vitest";
      export default async () => {
        const bindings = await mtls({ DB: {} });
        return {
          plugins: [
            cloudflareTest({
              wrangler: { configPath: "./wrangler.json" },
              miniflare: { unsafeBindings: bindings.unsafeBindings },
            }),
            closing(bindings),
          ],
          test: { onUnhandledError: ({ message }) => message !== "This socket has been closed." },
        };
      };`,
    );
    await writeFile(
      join(folder, "test/orders.test.ts"),
      `import { env } from "cloudflare:workers";
      import { expect, test } from "vitest";
      import worker from "../src/index.ts";
      test("by its certificate", async () => {
        const response = await worker.fetch(new Request("http://orders/"), env);
        const { user, dn } = await response.json();
        expect([user, dn]).toEqual(["client", expect.stringContaining("CN=client")]);
      });`,
    );
    await using vitest = spawnProgram(process.execPath, run, folder);
    assert.equal(await vitest.ended, 0, vitest.output);
    assert.match(vitest.output, /1 passed/);
  },
);
