import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, readdir } from "node:fs/promises";
import { test } from "node:test";
import { Client } from "pg";
import { createTestHarness } from "../../src/dev/harness.ts";
import { mtls } from "../../src/dev/miniflare.ts";
import { makeProject, type TestProject } from "../helpers/dev-project.ts";
import { developmentCa } from "../helpers/development-ca.ts";
import { startMariadb, withoutMariadb } from "../helpers/mariadb.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";
import { until } from "../helpers/until.ts";

const worker = `
import { Client } from "pg";
export default {
  async fetch(request, env) {
    const { connectionString } = env.DB;
    const client = new Client({ connectionString });
    try {
      await client.connect();
      const { rows } = await client.query(
        "select current_user as user, client_dn from pg_stat_ssl where pid = pg_backend_pid()",
      );
      await client.end();
      return Response.json({ rows, connectionString });
    } catch (error) {
      return Response.json({ error: error.message, state: error.code });
    }
  },
};`;

async function project(connectionString: string | undefined): Promise<TestProject> {
  return makeProject({
    "index.js": worker,
    "wrangler.json": JSON.stringify({
      name: "shop",
      main: "index.js",
      compatibility_date: "2025-11-17",
      compatibility_flags: ["nodejs_compat"],
      hyperdrive: [
        {
          binding: "DB",
          id: "none",
          ...(connectionString && { localConnectionString: connectionString }),
        },
      ],
    }),
  });
}

interface Answer {
  readonly rows?: readonly { readonly user: string; readonly client_dn: string }[];
  readonly connectionString?: string;
  readonly error?: string;
  readonly state?: string;
}

async function ask(url: string): Promise<Answer> {
  const response = await fetch(url);
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return JSON.parse(text) as Answer;
}

const DN = "/O=Countersign development/OU=shop/CN=client";

test(
  "countersign dev: Hyperdrive goes to localConnectionString's database with the development CA's certificate",
  { skip: withoutPostgres },
  async (t) => {
    await using shop = await project(undefined);
    const authority = await developmentCa(shop.folder);
    const server = await startPostgres(t, authority);
    const at = `postgres://client:very-secret@localhost:${server.port}/postgres?sslmode=verify-full`;
    await using dev = await shop
      .with({ CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_DB: at })
      .dev();
    const { rows, connectionString = "", error } = await ask(dev.url);
    assert.equal(error, undefined, dev.output);
    assert.deepEqual(rows, [{ user: "client", client_dn: DN }]);
    assert.match(
      connectionString,
      /^postgresql:\/\/client:[^@]+@[0-9a-f]+\.hyperdrive\.local:5432/,
    );
    assert.doesNotMatch(connectionString, /very-secret/);
    assert.doesNotMatch(dev.output, /very-secret/);
    assert.match(dev.output, /DB presents CN=client/);
  },
);

test(
  "countersign dev: countersign.json names the database and its CA, and a failure is the driver's own error",
  { skip: withoutPostgres },
  async (t) => {
    await using shop = await project("postgres://client:pw@localhost:1/postgres");
    await developmentCa(shop.folder);
    const other = await makeAuthority("Database CA");
    const server = await startPostgres(t, other, { rules: ["hostssl all all all trust"] });
    const settings = {
      database: `postgres://client:pw@localhost:${server.port}/postgres?sslmode=verify-full`,
    };
    await shop.write("countersign.json", JSON.stringify({ bindings: { DB: settings } }));
    await using dev = await shop.dev();
    const refused = await ask(dev.url);
    assert.match(refused.error ?? "", /^origin_certificate_unknown_ca: /, dev.output);
    assert.equal(refused.state, "08001");
    assert.match(dev.output, /DB: .*[\s\S]*origin_certificate_unknown_ca/);
    // The file is read again, without a restart.
    await shop.write("ca.pem", other.pem);
    const withCa = { bindings: { DB: { ...settings, ca: "ca.pem" } } };
    await shop.write("countersign.json", JSON.stringify(withCa));
    await dev.says(/DB presents CN=client.*trusts .*ca\.pem/);
    const foreign = await ask(dev.url);
    // The server is verified now, but does not itself know the development CA.
    assert.match(foreign.error ?? "", /^origin_refused_certificate_ca: /, dev.output);
  },
);

test(
  "countersign dev: Hyperdrive of a MySQL presents the certificate, too (REQUIRE X509)",
  { skip: withoutMariadb },
  async (t) => {
    await using shop = await makeProject({
      "index.js": `
import { createConnection } from "mysql2/promise";
export default {
  async fetch(request, env) {
    const { host, user, password, database, port } = env.DB;
    const options = { host, user, password, database, port, disableEval: true };
    try {
      const client = await createConnection(options);
      const [rows] = await client.query("select current_user() as user, 'TLS' as client_dn");
      await client.end();
      return Response.json({ rows });
    } catch (error) {
      return Response.json({ error: error.message });
    }
  },
};`,
      "wrangler.json": JSON.stringify({
        name: "shop",
        main: "index.js",
        compatibility_date: "2025-11-17",
        compatibility_flags: ["nodejs_compat"],
        hyperdrive: [{ binding: "DB", id: "none" }],
      }),
    });
    const server = await startMariadb(t, await developmentCa(shop.folder));
    server.sql("create user client@localhost identified by 'very-secret' require x509");
    server.sql("grant all on shop.* to client@localhost");
    const at = (password: string): string =>
      `mysql://client:${password}@localhost:${server.port}/shop?ssl-mode=VERIFY_IDENTITY`;
    const settings = { bindings: { DB: { database: at("very-secret") } } };
    await shop.write("countersign.json", JSON.stringify(settings));
    await using dev = await shop.dev();
    const { rows, error } = await ask(dev.url);
    assert.equal(error, undefined, dev.output);
    assert.equal(rows?.[0]?.user, "client@localhost");
    assert.doesNotMatch(dev.output, /very-secret/);
  },
);

test(
  "a database whose connection string asks for no TLS is wrangler's, and that is said",
  { skip: withoutPostgres },
  async (t) => {
    const authority = await makeAuthority();
    const server = await startPostgres(t, authority, {
      rules: ["host all all all trust"],
      tls: false,
    });
    await using shop = await project(`postgres://client:pw@localhost:${server.port}/postgres`);
    await using dev = await shop.dev();
    const { rows, error } = await ask(dev.url);
    assert.equal(error, undefined, dev.output);
    assert.equal(rows?.[0]?.user, "client");
    assert.match(dev.output, /DB goes to its database without TLS/);
  },
);

test(
  "wrangler's test harness: Hyperdrive presents the development CA's certificate too",
  { skip: withoutPostgres },
  async (t) => {
    await using shop = await project(undefined);
    const server = await startPostgres(t, await developmentCa(shop.folder));
    const database = `postgres://client:pw@localhost:${server.port}/postgres?sslmode=verify-full`;
    await shop.write("countersign.json", JSON.stringify({ bindings: { DB: { database } } }));
    await using bindings = await mtls({}, { project: shop.folder });
    const harness = await createTestHarness(
      { root: shop.folder, workers: [{ configPath: "wrangler.json" }] },
      bindings,
    );
    try {
      await harness.listen();
      const { rows, error } = (await (await harness.fetch("/")).json()) as Answer;
      assert.equal(error, undefined);
      assert.deepEqual(
        rows?.map(({ user }) => user),
        ["client"],
      );
    } finally {
      await harness.close();
    }
  },
);

test(
  "countersign dev database lets in the certificate that countersign dev presents, and nobody without one",
  { skip: withoutPostgres },
  async () => {
    await using shop = await project(undefined);
    await shop.write(".tmp/.keep", "");
    await using database = shop.run("dev", "database", "--port", "0", "--json");
    const [line] = await database.says(/\{.*\}/);
    const { ready, connection_string: text } = JSON.parse(line) as Record<string, string>;
    assert.equal(ready, true);
    await using dev = await shop
      .with({ CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_DB: text! })
      .dev();
    const { rows, error } = await ask(dev.url);
    assert.equal(error, undefined, dev.output);
    assert.deepEqual(rows, [{ user: "dev", client_dn: DN.replace("client", "dev") }]);
    const without = new Client({
      connectionString: text!.replace("verify-full", "no-verify"),
    });
    await assert.rejects(without.connect(), /client certificate/);
    database.child.kill("SIGTERM");
    assert.equal(await database.ended, 0, database.output);
    assert.equal(database.output.trim(), line, "one line");
  },
);

test(
  "countersign dev database that is killed takes its PostgreSQL and its data with it",
  { skip: withoutPostgres },
  async () => {
    await using shop = await project(undefined);
    await shop.write(".tmp/.keep", "");
    const temporary = shop.path(".tmp");
    // PostgreSQL's own user needs access.
    await chmod(shop.folder, 0o755);
    await chmod(temporary, 0o777);
    await using database = shop
      .with({ TMPDIR: temporary })
      .run("dev", "database", "--port", "0", "--json");
    const [line] = await database.says(/\{.*\}/);
    const { connection_string: text } = JSON.parse(line) as Record<string, string>;
    const { port } = new URL(text!);
    const folder = (await readdir(temporary)).find((name) => name.startsWith("cs-db-"));
    assert.ok(folder);
    database.child.kill("SIGKILL");
    await database.ended;
    await until(() => !existsSync(shop.path(`.tmp/${folder}`)));
    await assert.rejects(
      new Client({ connectionString: `postgres://dev@localhost:${port}` }).connect(),
      {
        code: "ECONNREFUSED",
      },
    );
  },
);
