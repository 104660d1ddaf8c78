import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { mtls, mtlsOrigin } from "../src/dev/miniflare.ts";
import { bundledWorker } from "../test/helpers/bundled-worker.ts";
import { developmentCa } from "../test/helpers/development-ca.ts";
import { spawnProgram } from "../test/helpers/dev-project.ts";
import { startPostgres, withoutPostgres } from "../test/helpers/postgres.ts";

// Two mTLS bindings beside one binding of every other kind, in each tool that Countersign has a helper for; and the
// code of docs/development.md, unchanged.

const example = join(import.meta.dirname, "all-bindings");
const copies: string[] = [];
before(() =>
  promisify(execFile)("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], {
    cwd: example,
  }),
);
after(async () => {
  for (const folder of copies) await rm(folder, { recursive: true, force: true });
});

const others = {
  vars: "hello",
  kv: "v",
  d1: 1,
  r2: "v",
  object: 1,
  limit: true,
  service: "itself",
  version: "string",
  assets: "an asset",
};

/** Copies the example into a folder, with the example's own packages. */
async function copy(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "cs-all-"));
  copies.push(folder);
  const filter = (source: string): boolean =>
    !/node_modules|\.countersign|\.wrangler/.test(source.slice(example.length));
  await cp(example, folder, { recursive: true, filter });
  await symlink(join(example, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** The name under which the database knows the Worker. */
const QUERY = `import { Client } from "pg";
export default {
  async fetch(request, env) {
    const client = new Client({ connectionString: env.PG.connectionString });
    await client.connect();
    const { rows } = await client.query("select client_dn from pg_stat_ssl where pid = pg_backend_pid()");
    await client.end();
    return Response.json(rows);
  },
};`;

describe("examples/all-bindings", () => {
  test("Miniflare 4", async () => {
    await using miniflare = spawnProgram(process.execPath, ["miniflare.js"], await copy());
    assert.equal(await miniflare.ended, 0, miniflare.output);
    const { one, two, ...rest } = JSON.parse(miniflare.output) as Record<string, unknown>;
    assert.deepEqual(rest, others);
    assert.match(`${String(one)} ${String(two)}`, /CN=ONE,.* CN=TWO,/);
  });

  test(
    "Miniflare 4: a Hyperdrive binding presents a certificate to its database",
    { skip: withoutPostgres },
    async (t) => {
      const folder = await copy();
      const { port } = await startPostgres(t, await developmentCa(folder));
      await writeFile(join(folder, "pg.mjs"), await bundledWorker(QUERY, folder));
      await writeFile(
        join(folder, "miniflare.js"),
        `import { Miniflare } from "miniflare";
        import { mtls } from "countersign/miniflare";
        const database = "postgres://client:pw@localhost:${port}/postgres?sslmode=verify-full";
        await using bindings = await mtls({ PG: { database } });
        const miniflare = new Miniflare({
          modules: true,
          scriptPath: "pg.mjs",
          compatibilityDate: "2026-07-01",
          compatibilityFlags: ["nodejs_compat"],
          unsafeBindings: bindings.unsafeBindings,
        });
        console.log(await (await miniflare.dispatchFetch("http://pg/")).text());
        await miniflare.dispose();`,
      );
      await using miniflare = spawnProgram(process.execPath, ["miniflare.js"], folder);
      assert.equal(await miniflare.ended, 0, miniflare.output);
      assert.match(miniflare.output, /CN=client/);
    },
  );

  test("Vitest", async () => {
    const args = ["node_modules/vitest/vitest.mjs", "run"];
    await using vitest = spawnProgram(process.execPath, args, await copy());
    assert.equal(await vitest.ended, 0, vitest.output);
    assert.match(vitest.output, /1 passed/);
  });

  test("Vite: its banner names each certificate, and the plugin's own files come first", async () => {
    const folder = await copy();
    await using origin = await mtlsOrigin({ project: folder, names: ["origin.example"] });
    // A certificate of the development CA that belongs to none of the bindings.
    await using other = await mtls({ OTHER: {} }, { project: folder });
    assert.ok("OTHER" in other.serviceBindings);
    await cp(join(folder, ".countersign/binding-OTHER.pem"), join(folder, "two.pem"));
    const hosts = { "origin.example": new URL(origin.url).host };
    await writeFile(join(folder, "countersign.json"), JSON.stringify({ hosts }));
    const args = ["node_modules/vite/bin/vite.js", "--port", "0"];
    await using vite = spawnProgram(process.execPath, args, folder);
    const [, url = ""] = await vite.says(/Local:.*(http:\/\/localhost:\d+)/);
    assert.match(vite.output, /ONE presents CN=ONE,.*binding-ONE\.pem, from the development CA/);
    assert.match(vite.output, /TWO presents CN=OTHER,.*two\.pem/);
    const response = await fetch(`${url}/all`);
    const text = await response.text();
    assert.equal(response.status, 200, `${text}\n${vite.output}`);
    const { one, two, ...rest } = JSON.parse(text) as Record<string, unknown>;
    assert.deepEqual(rest, others);
    assert.match(`${String(one)} ${String(two)}`, /CN=ONE,.* CN=OTHER,/);
  });

  test(
    "Vite: a Hyperdrive binding presents a certificate to its database",
    { skip: withoutPostgres },
    async (t) => {
      const folder = await copy();
      const { port } = await startPostgres(t, await developmentCa(folder));
      const database = `postgres://client:pw@localhost:${port}/postgres?sslmode=verify-full`;
      await writeFile(
        join(folder, "countersign.json"),
        JSON.stringify({ bindings: { PG: { database } } }),
      );
      await rm(join(folder, "wrangler.jsonc"));
      await writeFile(
        join(folder, "wrangler.json"),
        JSON.stringify({
          name: "all",
          main: "src/pg.js",
          compatibility_date: "2026-10-01",
          compatibility_flags: ["nodejs_compat"],
          hyperdrive: [{ binding: "PG", id: "none" }],
        }),
      );
      const config = await readFile(join(folder, "vite.config.js"), "utf8");
      const certificates = /certificates: .*/;
      assert.match(config, certificates);
      await writeFile(join(folder, "vite.config.js"), config.replace(certificates, ""));
      await writeFile(join(folder, "src/pg.js"), QUERY);
      const args = ["node_modules/vite/bin/vite.js", "--port", "0"];
      await using vite = spawnProgram(process.execPath, args, folder);
      const [, url = ""] = await vite.says(/Local:.*(http:\/\/localhost:\d+)/);
      assert.match(vite.output, /PG presents CN=client/);
      const response = await fetch(url);
      const text = await response.text();
      assert.equal(response.status, 200, `${text}\n${vite.output}`);
      assert.match(text, /CN=client/);
    },
  );

  test("Vite says which of the plugin's options does not fit the project", async () => {
    const folder = await copy();
    const args = ["node_modules/vite/bin/vite.js", "--port", "0"];
    await using missing = spawnProgram(process.execPath, args, folder);
    assert.notEqual(await missing.ended, 0);
    assert.match(missing.output, /two\.pem/);
    const config = await readFile(join(folder, "vite.config.js"), "utf8");
    await writeFile(join(folder, "vite.config.js"), config.replace("TWO:", "THREE:"));
    await using unknown = spawnProgram(process.execPath, args, folder);
    assert.notEqual(await unknown.ended, 0);
    assert.match(unknown.output, /`certificates` names "THREE", and .* bindings are ONE, TWO/);
    await writeFile(
      join(folder, "vite.config.js"),
      config.replace("certificates:", "certificate:"),
    );
    await using slip = spawnProgram(process.execPath, args, folder);
    assert.notEqual(await slip.ended, 0);
    assert.match(slip.output, /no "certificate": did you mean "certificates"\?/);
  });
});

describe("the code of docs/development.md", async () => {
  const page = await readFile(join(import.meta.dirname, "../docs/development.md"), "utf8");
  const blocks = [...page.matchAll(/^```(?:js|ts)\n(.*?)^```/gms)].map(([, code]) => code!);
  const block = (named: string): string => {
    const code = blocks.find((one) => one.includes(`"${named}"`));
    assert.ok(code, named);
    return code;
  };
  test("Miniflare", async () => {
    const folder = await project(block("countersign/miniflare"), "docs.mjs");
    await using run = spawnProgram(process.execPath, ["docs.mjs"], folder);
    assert.equal(await run.ended, 0, run.output);
  });

  test("wrangler's test harness", async () => {
    const code = `${block("countersign/harness")}
      const response = await server.fetch("/");
      console.log(response.status, response.headers.get("countersign-failure"));
      await server.close();`;
    const folder = await project(code, "docs.mjs");
    await writeFile(
      join(folder, "countersign.json"),
      JSON.stringify({ hosts: { "api.example.com": "localhost:9" } }),
    );
    await using run = spawnProgram(process.execPath, ["docs.mjs"], folder);
    assert.equal(await run.ended, 0, run.output);
    assert.match(run.output, /52\d \w+/, "there is no origin, and the binding says so");
  });

  test("Vitest", async () => {
    const folder = await project(block("countersign/vitest"), "vitest.config.ts");
    await writeFile(
      join(folder, "test/all.test.js"),
      `import { env } from "cloudflare:workers";
      import { originOf } from "countersign/vitest/worker";
      import { expect, test } from "vitest";
      import worker from "../worker.js";
      test("the block", async () => {
        expect((await worker.fetch(null, env)).status).toBe(200);
        const [seen] = await originOf(env).requests();
        expect(seen.client.subject).toContain("CN=MY_CERT");
      });`,
    );
    const args = ["node_modules/vitest/vitest.mjs", "run"];
    await using vitest = spawnProgram(process.execPath, args, folder);
    assert.equal(await vitest.ended, 0, vitest.output);
  });

  test("Vite", async () => {
    const folder = await project(block("countersign/vite"), "vite.config.ts");
    const args = ["node_modules/vite/bin/vite.js", "--port", "0"];
    await using vite = spawnProgram(process.execPath, args, folder);
    await vite.says(/Local:.*(http:\/\/localhost:\d+)/);
    assert.match(vite.output, /MY_CERT presents CN=MY_CERT,/);
  });
});

/** A project with one mTLS binding, whose Worker calls api.example.com, and with the code in a file. */
async function project(code: string, file: string): Promise<string> {
  const folder = await copy();
  const binding = { binding: "MY_CERT", certificate_id: "x" };
  const configuration = { name: "docs", main: "worker.js", compatibility_date: "2026-07-01" };
  await rm(join(folder, "wrangler.jsonc"));
  await rm(join(folder, "vite.config.js"));
  await rm(join(folder, "vitest.config.js"));
  await writeFile(
    join(folder, "wrangler.jsonc"),
    JSON.stringify({ ...configuration, mtls_certificates: [binding] }),
  );
  await writeFile(
    join(folder, "worker.js"),
    `export default { fetch: (_, env) => env.MY_CERT.fetch("https://api.example.com/") };`,
  );
  await writeFile(join(folder, file), code);
  return folder;
}
