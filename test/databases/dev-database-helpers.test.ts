import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { convertV4MiniflareOptions, Miniflare } from "miniflare";
import { mtls, type Mtls } from "../../src/dev/miniflare.ts";
import { bundledWorker } from "../helpers/bundled-worker.ts";
import { makeProject, type TestProject } from "../helpers/dev-project.ts";
import { developmentCa } from "../helpers/development-ca.ts";
import { startMariadb, withoutMariadb } from "../helpers/mariadb.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";

const variable = "CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_DB";

const pg = `
import { Client } from "pg";
export default {
  async fetch(request, env) {
    const client = new Client({ connectionString: env.DB.connectionString });
    try {
      await client.connect();
      const { rows } = await client.query(
        "select client_dn from pg_stat_ssl where pid = pg_backend_pid()",
      );
      await client.end();
      return Response.json({ said: rows[0].client_dn, told: env.DB.connectionString });
    } catch (error) {
      return Response.json({ said: error.message });
    }
  },
};`;

const mysql = `
import { createConnection } from "mysql2/promise";
export default {
  async fetch(request, env) {
    const { host, user, password, database, port } = env.DB;
    try {
      const client = await createConnection({ host, user, password, database, port, disableEval: true });
      const [rows] = await client.query("select current_user() as user");
      await client.end();
      return Response.json({ said: rows[0].user, told: env.DB.connectionString });
    } catch (error) {
      return Response.json({ said: error.message });
    }
  },
};`;

interface Answer {
  readonly said: string;
  readonly told?: string;
}

/** A Worker with its driver, in Miniflare. */
async function startWorker(
  { folder }: TestProject,
  source: string,
  { unsafeBindings, env }: Pick<Mtls, "unsafeBindings" | "env">,
  version: 4 | 5 = 4,
): Promise<AsyncDisposable & { ask(): Promise<Answer> }> {
  const shared = {
    modules: true as const,
    script: await bundledWorker(source, folder),
    compatibilityDate: "2026-10-01",
    compatibilityFlags: ["nodejs_compat"],
  };
  const options = convertV4MiniflareOptions(version === 4 ? { ...shared, unsafeBindings } : shared);
  if (version === 5) {
    const [first] = options.workers as { config: { env?: Record<string, unknown> } }[];
    Object.assign((first!.config.env ??= {}), env);
  }
  const miniflare = new Miniflare(options);
  return {
    ask: async () => (await (await miniflare.dispatchFetch("http://test/")).json()) as Answer,
    [Symbol.asyncDispose]: async () => await miniflare.dispose(),
  };
}

async function postgresIn(
  t: TestContext,
  project: TestProject,
): Promise<{ readonly database: string; readonly port: number }> {
  const { port } = await startPostgres(t, await developmentCa(project.folder));
  return {
    port,
    database: `postgres://client:very-secret@localhost:${port}/postgres?sslmode=verify-full`,
  };
}

test(
  "mtls({ DB: { database } }): PostgreSQL knows a Miniflare Worker by its certificate, and the Worker knows no password",
  { skip: withoutPostgres },
  async (t) => {
    await using project = await makeProject({});
    const { database } = await postgresIn(t, project);
    await using bindings = await mtls({ DB: { database } }, { project: project.folder });
    assert.deepEqual(bindings.serviceBindings, {});
    assert.equal(process.env[variable], database, "wrangler's test harness is told");
    for (const version of [4, 5] as const) {
      await using worker = await startWorker(project, pg, bindings, version);
      const { said, told = "" } = await worker.ask();
      assert.equal(said, "/O=Countersign development/OU=test/CN=client");
      assert.match(
        told,
        /^postgresql:\/\/client:[^@]+@[0-9a-f]+\.hyperdrive\.local:5432\/postgres/,
      );
      assert.doesNotMatch(told, /very-secret/);
    }
    await bindings[Symbol.asyncDispose]();
    assert.equal(process.env[variable], undefined);
  },
);

test(
  "mtls({ DB: {} }): countersign.json names the database; a database given in code wins over file and variable",
  { skip: withoutPostgres },
  async (t) => {
    await using project = await makeProject({});
    const { database, port } = await postgresIn(t, project);
    const other = `postgres://nobody:pw@localhost:${port}/postgres?sslmode=verify-full`;
    await project.write("countersign.json", settings(database));
    {
      await using bindings = await mtls({ DB: {} }, { project: project.folder });
      await using worker = await startWorker(project, pg, bindings);
      assert.match((await worker.ask()).said, /CN=client/);
    }
    await project.write("countersign.json", settings(other));
    process.env[variable] = other;
    try {
      await using bindings = await mtls({ DB: { database } }, { project: project.folder });
      await using worker = await startWorker(project, pg, bindings);
      assert.match((await worker.ask()).said, /CN=client/);
      await bindings[Symbol.asyncDispose]();
      assert.equal(process.env[variable], other, "as it was before");
    } finally {
      delete process.env[variable];
    }
  },
);

test(
  "a test's database that is not verified, refuses the certificate or is not there: the driver says so, and `failures` too",
  { skip: withoutPostgres },
  async (t) => {
    await using project = await makeProject({});
    const { database, port } = await postgresIn(t, project);
    const stranger = await makeAuthority("Somebody else's CA");
    const [foreign, leaf] = await Promise.all([
      startPostgres(t, stranger),
      stranger.issue({ subject: "CN=client" }),
    ]);
    await project.write("cert.pem", leaf.chain);
    await project.write("key.pem", leaf.key);
    const cases: readonly (readonly [string, Parameters<typeof mtls>[0][string]])[] = [
      [
        "origin_certificate_unknown_ca",
        { database: database.replace(`${port}`, `${foreign.port}`) },
      ],
      ["origin_certificate_wrong_name", { database: database.replace("localhost", "127.0.0.1") }],
      ["origin_refused_certificate_ca", { database, cert: "cert.pem", key: "key.pem" }],
      [
        "database_sign_in_refused",
        {
          database: database.replace("client:", "other:"),
          cert: join(project.folder, ".countersign/database-DB.pem"),
        },
      ],
      ["origin_refused", { database: database.replace(`:${port}`, ":1") }],
    ];
    const seen: string[] = [];
    for (const [expected, options] of cases) {
      await using bindings = await mtls({ DB: options }, { project: project.folder });
      await using worker = await startWorker(project, pg, bindings);
      const { said } = await worker.ask();
      seen.push(
        `${expected} | ${said.split(":")[0]} | ${bindings.failures.map(({ binding, code }) => `${binding} ${code}`).join()}`,
      );
    }
    assert.deepEqual(
      seen,
      cases.map(([code]) => `${code} | ${code} | DB ${code}`),
    );
  },
);

test(
  "mtls({ DB: { database } }): a MariaDB that requires X509 lets a Miniflare Worker in, and its refusal is the driver's own error",
  { skip: withoutMariadb },
  async (t) => {
    await using project = await makeProject({});
    const server = await startMariadb(t, await developmentCa(project.folder));
    server.sql("create user client@localhost identified by 'very-secret' require x509");
    server.sql("grant all on shop.* to client@localhost");
    const database = `mysql://client:very-secret@localhost:${server.port}/shop?ssl-mode=VERIFY_IDENTITY`;
    await using bindings = await mtls({ DB: { database } }, { project: project.folder });
    await using worker = await startWorker(project, mysql, bindings);
    const { said, told = "" } = await worker.ask();
    assert.equal(said, "client@localhost");
    assert.doesNotMatch(told, /very-secret/);
    server.sql("alter user client@localhost identified by 'another'");
    assert.match((await worker.ask()).said, /Access denied|database_sign_in_refused/);
  },
);

test("a database that asks for no TLS, or is none, is refused by name", async () => {
  await using project = await makeProject({});
  const open = (database: string): Promise<Mtls> =>
    mtls({ DB: { database } }, { project: project.folder });
  const withCode = { name: "Failure", code: "dev_database_malformed" };
  await assert.rejects(open("postgres://client:pw@localhost:5432/postgres"), withCode);
  await assert.rejects(open("postgres://client:pw@localhost/a?sslmode=prefer"), /asks for no TLS/);
  await assert.rejects(open("redis://localhost/a?sslmode=require"), withCode);
  const slip = { DB: { databse: "postgres://localhost/a" } };
  await assert.rejects(mtls(slip as never, { project: project.folder }), /did you mean "database"/);
  assert.equal(process.env[variable], undefined, "nothing is left behind");
});

function settings(database: string): string {
  return JSON.stringify({ bindings: { DB: { database } } });
}
