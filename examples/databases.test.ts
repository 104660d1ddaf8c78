import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { edgeCertificate, testGateway, type TestGateway } from "../test/helpers/gateway.ts";
import { startRedis, without, type DatabaseServer } from "../test/helpers/database-servers.ts";
import { spawnProgram } from "../test/helpers/dev-project.ts";
import { startMariadb, withoutMariadb, type TestMariadb } from "../test/helpers/mariadb.ts";
import { openAuthority } from "../src/dev/authority.ts";
import { makeAuthority, type TestAuthority } from "../test/helpers/pki.ts";
import { startPostgres, withoutPostgres } from "../test/helpers/postgres.ts";
import { startWorkerd, type TestWorkerd } from "../test/helpers/workerd.ts";
import { until } from "../test/helpers/until.ts";

// Popular drivers, as published, in a real workerd, against Debian's servers.

const run = promisify(execFile);
const folder = join(import.meta.dirname, "databases");
const countersign = join(import.meta.dirname, "..", "bin", "countersign.js");
const skip = withoutPostgres || withoutMariadb || without("redis-server");

describe("connect() by real drivers", { skip }, () => {
  let authority: TestAuthority;
  let gateway: TestGateway;
  let worker: TestWorkerd;
  let redis: DatabaseServer;
  let mariadb: TestMariadb;
  let postgres: { readonly port: number };
  const ends: (() => unknown)[] = [];
  const t = { after: (end: () => unknown) => void ends.push(end) } as TestContext;

  before(async () => {
    const script = await bundle();
    authority = await makeAuthority();
    const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    const files = { ca: authority.pem, chain: server.chain, key: server.key };
    [redis, mariadb, postgres] = await Promise.all([
      startRedis(t, files),
      startMariadb(t, authority),
      startPostgres(t, authority),
    ]);
    mariadb.sql(`
      create user client@'%' require x509;
      grant all on shop.* to client@'%';
    `);
    gateway = await testGateway(t);
    await trust(authority.pem);
    await present(authority);
    await gateway.bind();
    worker = await startWorkerd(t, gateway.directory, script);
  });
  after(async () => {
    for (const end of ends.toReversed()) await end();
  });

  const trust = (pem: string): Promise<void> =>
    gateway.handle.setTrust("a", { authorities: [pem], hosts: {}, proxied: [] });
  const present = async (by: TestAuthority, version = 1): Promise<void> => {
    const certificate = await by.issue({ subject: "CN=client" });
    await gateway.handle.setCertificate(
      edgeCertificate(certificate, { version, sealedId: `c/${version}` }),
    );
  };
  const ask = async (
    driver: string,
    port: number,
    more = "",
    host = "localhost",
  ): Promise<string> => (await worker.get(`/${driver}?at=${host}:${port}${more}`)).text;
  const servers = (): [string, number][] => [
    ["pg", postgres.port],
    ["postgres", postgres.port],
    ["mysql2", mariadb.port],
    ["ioredis", redis.port],
  ];

  const answers = {
    pg: "/CN=client",
    postgres: "/CN=client",
    mysql2: "client@%",
    ioredis: "client",
  };
  for (const driver of ["pg", "postgres", "mysql2", "ioredis"] as const) {
    test(`${driver} gets its answer, on a port that says nothing of the protocol`, async () => {
      const [, port] = servers().find(([name]) => name === driver)!;
      assert.equal(await ask(driver, port), answers[driver]);
      assert.equal(await ask(driver, port), answers[driver]);
    });
  }
  for (const driver of ["pg", "postgres"] as const) {
    test(`${driver} gets its answer with its own ssl on`, async () => {
      const [, port] = servers().find(([name]) => name === driver)!;
      assert.equal(await ask(driver, port, "&ssl=1"), answers[driver]);
    });
  }

  test("mysql2 with its own ssl on is refused by the runtime, in words", async () => {
    assert.match(await ask("mysql2", mariadb.port, "&ssl=1"), /checkServerIdentity/);
  });

  test("megabytes of rows come whole", async () => {
    const sql = encodeURIComponent("select length(repeat('x', 5000000)) || '' as who");
    assert.equal(await ask("pg", postgres.port, `&sql=${sql}`), "5000000");
    const rows = encodeURIComponent("select repeat('x', 3000000) as who");
    assert.equal((await ask("pg", postgres.port, `&sql=${rows}`)).length, 3_000_000);
    assert.equal((await ask("mysql2", mariadb.port, `&sql=${rows}`)).length, 3_000_000);
  });

  test("every driver's error names what is wrong with the server's certificate", async () => {
    const other = await makeAuthority("Another CA");
    await trust(other.pem);
    for (const [driver, port] of servers()) {
      assert.match(await ask(driver, port), /origin_certificate_unknown_ca: /, driver);
    }
    await trust(authority.pem);
    for (const [driver, port] of servers()) {
      const said = await ask(driver, port, "", "127.0.0.1");
      assert.match(said, /origin_certificate_wrong_name: /, driver);
    }
  });

  test("every driver's error says that the certificate was refused", async () => {
    await present(await makeAuthority("Another CA"), 2);
    for (const [driver, port] of servers()) {
      assert.match(await ask(driver, port), /origin_(?:refused_certificate|closed_first)/, driver);
    }
    await present(authority, 3);
    for (const [driver, port] of servers()) {
      assert.equal(await ask(driver, port), answers[driver as "pg"], driver);
    }
  });

  test("every driver's error says that the server does not speak TLS", async (own) => {
    const silent = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", () => void socket.write("-ERR what is that?\r\n"));
    }).listen(0, "127.0.0.1");
    await once(silent, "listening");
    own.after(() => silent.close());
    const { port } = silent.address() as { port: number };
    for (const [driver] of servers()) {
      assert.match(await ask(driver, port), /origin_not_tls: /, driver);
    }
  });

  test("a wrong user or password is told in the database's own words", async () => {
    for (const driver of ["pg", "postgres"]) {
      const said = await ask(driver, postgres.port, "&user=postgres&password=wrong");
      assert.match(said, /certificate authentication failed for user "postgres"/, driver);
    }
    const denied = await ask("mysql2", mariadb.port, "&password=wrong");
    assert.match(denied, /Access denied for user 'client'/);
    const unknown = await ask("ioredis", redis.port, "&user=nobody&password=wrong");
    assert.match(unknown, /WRONGPASS/);
  });

  test("a revocation cuts a query that runs, and the driver's error says so; so does a restart", async () => {
    await present(authority, 4);
    const sleep = encodeURIComponent("select pg_sleep(30)::text as who");
    const nap = encodeURIComponent("select sleep(30) as who");
    const running = Promise.all([
      ask("pg", postgres.port, `&sql=${sleep}`),
      ask("mysql2", mariadb.port, `&sql=${nap}`),
      ask("ioredis", redis.port, "&wait=1"),
    ]);
    await connections(gateway, 3);
    const certificate = edgeCertificate(await authority.issue({ subject: "CN=client" }), {
      version: 4,
      sealedId: "c/4",
      revokedOn: new Date().toISOString(),
    });
    await gateway.handle.setCertificate(certificate);
    for (const text of await running) assert.match(text, /origin_connection_cut: /);
    await present(authority, 5);

    const waiting = ask("ioredis", redis.port, "&wait=1");
    await connections(gateway, 1);
    await redis.stop();
    assert.match(await waiting, /Error|closed/);
    assert.match(await ask("ioredis", redis.port), /origin_refused: /);
    await redis.start();
    assert.equal(await ask("ioredis", redis.port), "client");
  });
});

/** Waits until the gateway has made this many more handshakes than at the beginning of the test. */
async function connections({ events }: TestGateway, count: number): Promise<void> {
  const begun = events.length;
  await until(() => events.length >= begun + count);
  await new Promise((resolve) => setTimeout(resolve, 500));
}

/** As wrangler would upload it. */
async function bundle(): Promise<string> {
  if (process.env["SKIP_INSTALL"] === undefined)
    await run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: folder });
  const out = await mkdtemp(join(tmpdir(), "countersign-bundle-"));
  try {
    const wrangler = join(import.meta.dirname, "../node_modules/wrangler/bin/wrangler.js");
    const environment = { ...process.env, WRANGLER_SEND_METRICS: "false", CI: "1" };
    await run(process.execPath, [wrangler, "deploy", "--dry-run", "--outdir", out], {
      cwd: folder,
      env: environment,
    });
    const script = await readFile(join(out, "index.js"), "utf8");
    // The helper's Worker has its binding under another name.
    return script.replaceAll("env.DB_CERT", "env.CERT");
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

test("the Redis example under `countersign dev`", { skip: without("redis-server") }, async (t) => {
  const example = join(import.meta.dirname, "redis-mtls");
  await run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: example });
  const authority = await openAuthority(example);
  const { cert, key } = await authority.issue({ subject: "CN=redis", dns: ["localhost"] });
  const redis = await startRedis(t, { ca: authority.ca, chain: cert, key });
  await using dev = spawnProgram(
    process.execPath,
    [
      countersign,
      "dev",
      "--port",
      "0",
      "--inspector-port",
      "0",
      "--var",
      `REDIS:localhost:${redis.port}`,
    ],
    example,
  );
  const [, url = ""] = await dev.says(/Ready on (http\S+)/);
  assert.equal(await (await fetch(url)).text(), "visit 1\n");
  assert.equal(await (await fetch(url)).text(), "visit 2\n");
  await redis.stop();
  const failed = await fetch(url);
  assert.equal(failed.status, 502);
  assert.match(await failed.text(), /^ConnectError: origin_refused: /);
  await dev.says(/origin_refused/);
});
