import assert from "node:assert/strict";
import { test } from "node:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countersign } from "../helpers/cli.ts";
import { databaseConfig, sealedPassword } from "../helpers/databases.ts";
import { edgeCertificate, testGateway } from "../helpers/gateway.ts";
import { startMariadb, withoutMariadb } from "../helpers/mariadb.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { startPlatform } from "../helpers/platform.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";

test(
  "certificate test postgres://… and hyperdrive test say each step, up to the verdict",
  { skip: withoutPostgres },
  async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "countersign-steps-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const authority = await makeAuthority("Database CA");
    const { chain, key } = await authority.issue({ subject: "CN=client" });
    const files = { "ca.pem": authority.pem, "cert.pem": chain, "key.pem": key };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    const server = await startPostgres(t, authority);
    await using platform = await startPlatform();
    const run = async (...argv: string[]): Promise<{ status: number; stdout: string }> =>
      countersign(argv, { cwd: folder, env: { COUNTERSIGN_DATA: platform.dataFolder } });
    const steps = async (status: number, ...argv: string[]): Promise<any> => {
      const done = await run(...argv, "--json");
      assert.equal(done.status, status, done.stdout);
      return JSON.parse(done.stdout);
    };
    await run("certificate", "upload", "--cert", "cert.pem", "--key", "key.pem", "--name", "db");
    const url = `postgres://someone:not-shown@LOCALHOST:${server.port}/x`;

    const unknown = await steps(1, "certificate", "test", "db", url);
    assert.equal(unknown.origin, `postgres://localhost:${server.port}`);
    assert.equal(unknown.asks_tls.request, "SSLRequest");
    assert.equal(unknown.tls, null);
    assert.equal(unknown.verdict.code, "origin_certificate_unknown_ca");

    const ca = JSON.parse(
      (await run("ca", "upload", "--cert", "ca.pem", "--name", "db-ca", "--json")).stdout,
    );
    const good = await steps(0, "certificate", "test", "db", url);
    assert.equal(good.tls.asked, true);
    assert.equal(good.tls.version, "TLSv1.3");
    assert.equal(good.presented[0].subject, "CN=client");
    assert.equal(good.sign_in, null);
    assert.match(good.verdict.message, /did not refuse it$/);
    assert.doesNotMatch(JSON.stringify(good), /not-shown/);

    const { id } = JSON.parse((await run("certificate", "show", "db", "--json")).stdout);
    const created = await platform.api("POST", "/accounts/{account}/hyperdrive/configs", {
      name: "shop",
      origin: {
        scheme: "postgres",
        host: "localhost",
        port: server.port,
        database: "postgres",
        user: "client",
        password: "unused",
      },
      mtls: { mtls_certificate_id: id, ca_certificate_id: ca.id, sslmode: "verify-full" },
    });
    assert.equal(created.status, 200, JSON.stringify(created.json));
    const listed = await run("hyperdrive", "list");
    assert.match(listed.stdout, new RegExp(`shop .*localhost:${server.port}/postgres +client`));
    const signedIn = await steps(0, "hyperdrive", "test", "shop");
    assert.deepEqual(
      { user: signedIn.sign_in.user, database: signedIn.sign_in.database },
      { user: "client", database: "postgres" },
    );
    const words = await run("hyperdrive", "test", "shop");
    assert.match(words.stdout, /✔ the database was verified, asked .*"client" signed in/);
    assert.match(words.stdout, /asks +SSLRequest[\s\S]*TLS +TLSv1\.3[\s\S]*signed in +client/);

    const path = `/accounts/{account}/hyperdrive/configs/${created.json.result.id}`;
    await platform.api("PATCH", path, { origin: { database: "nowhere" } });
    const nowhere = await steps(1, "hyperdrive", "test", "shop");
    assert.equal(nowhere.verdict.code, "database_sign_in_refused");
    assert.match(nowhere.verdict.message, /3D000/);
    await platform.api("PATCH", path, { mtls: { mtls_certificate_id: "identity" } });
    const noWorker = await run("hyperdrive", "test", "shop", "--json");
    assert.equal(noWorker.status, 1);
    assert.match(noWorker.stdout, /hyperdrive_worker_missing/);
    const missing = await run("hyperdrive", "test", "no-such", "--json");
    assert.match(missing.stdout, /hyperdrive_not_found/);
  },
);

test("MySQL's steps: the greeting, TLS, the sign-in", { skip: withoutMariadb }, async (t) => {
  const authority = await makeAuthority();
  const server = await startMariadb(t, authority);
  server.sql(`
    create user app@'%' identified by 'secret' require x509;
    grant all on shop.* to app@'%';
  `);
  const { handle } = await testGateway(t);
  await handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=client" })));
  const config = databaseConfig({
    protocol: "mysql",
    port: server.port,
    database: "shop",
    user: "app",
  });
  const handshake = await handle.testHandshake("a", "c", `mysql://localhost:${server.port}`);
  assert.ok(handshake.verdict.ok, JSON.stringify(handshake));
  assert.match(handshake.asksTls?.request ?? "", /after the greeting/);
  assert.equal(handshake.tls?.asked, true);
  await handle.setDatabase(config);
  const signedIn = await handle.testDatabase("a", "d", "");
  assert.ok(signedIn.verdict.ok, JSON.stringify(signedIn));
  assert.equal(signedIn.signIn?.user, "app");
  await handle.setDatabase({ ...config, sealedPassword: sealedPassword("wrong") });
  const wrong = await handle.testDatabase("a", "d", "");
  assert.ok(!wrong.verdict.ok);
  assert.equal(wrong.verdict.code, "database_sign_in_refused");
  // REQUIRE X509 without a certificate.
  await handle.setDatabase({ ...config, certificateId: null });
  const none = await handle.testDatabase("a", "d", "");
  assert.ok(!none.verdict.ok);
  assert.equal(none.certificateId, null);
});
