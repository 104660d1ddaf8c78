import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import { test, type TestContext } from "node:test";
import { connect as connectTls, TLSSocket } from "node:tls";
import type { DatabaseConfig } from "../../src/contract/database.ts";
import type { StartGatewayOptions } from "../../src/gateway/start-options.ts";
import { bindDatabase, databaseConfig, pgClient, sealedPassword } from "../helpers/databases.ts";
import { edgeCertificate, testGateway, type TestGateway } from "../helpers/gateway.ts";
import { makeAuthority, type TestAuthority } from "../helpers/pki.ts";
import { startPostgres, withoutPostgres, type RunningPostgres } from "../helpers/postgres.ts";
import { until } from "../helpers/until.ts";

interface Lab {
  readonly authority: TestAuthority;
  readonly server: RunningPostgres;
  readonly gateway: TestGateway;
  readonly config: DatabaseConfig;
}

const RULES = [
  "hostssl all scram all scram-sha-256 clientcert=verify-ca",
  "hostssl all hashed all md5",
  "hostssl all plain all password",
  "hostssl all all all cert clientcert=verify-full",
];

async function lab(t: TestContext, options: Partial<StartGatewayOptions> = {}): Promise<Lab> {
  const authority = await makeAuthority();
  const server = await startPostgres(t, authority, { rules: RULES });
  const gateway = await testGateway(t, options);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(
    edgeCertificate(await authority.issue({ subject: "CN=client" })),
  );
  const config = databaseConfig({ port: server.port });
  await bindDatabase(gateway, config);
  return { authority, server, gateway, config };
}

/** Ends the TLS of clients with a certificate that they trust, and opens a separate connection to PostgreSQL. */
async function interceptor(t: TestContext, authority: TestAuthority, to: number): Promise<number> {
  const own = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const client = await authority.issue({ subject: "CN=client" });
  const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);
  const intercept = async (socket: Socket): Promise<void> => {
    await once(socket, "data");
    socket.write("S");
    const inside = new TLSSocket(socket, { isServer: true, cert: own.chain, key: own.key });
    const raw = connect(to, "127.0.0.1");
    raw.write(SSL_REQUEST);
    await once(raw, "data");
    const outside = connectTls({
      socket: raw,
      host: "localhost",
      ca: authority.pem,
      cert: client.chain,
      key: client.key,
    });
    await pipeline(inside, outside, inside).catch(() => {});
  };
  const server = createServer((socket) => {
    socket.on("error", () => {});
    void intercept(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** @returns the error that a driver gets instead of a session */
async function refusal(gateway: TestGateway, options: object = {}): Promise<Refused> {
  const client = await pgClient(gateway, options);
  return await client.connect().then(
    () => assert.fail("it was let in"),
    (error: unknown) => error as Refused,
  );
}

interface Refused extends Error {
  readonly code?: string;
  readonly detail?: string;
  readonly hint?: string;
}

test("pg through a Hyperdrive binding", { skip: withoutPostgres }, async (t) => {
  const { authority, server, gateway, config } = await lab(t);
  const { handle } = gateway;

  await t.test("a certificate signs in (clientcert=verify-full)", async () => {
    const client = await pgClient(gateway, { application_name: "a Worker" });
    await client.connect();
    const { rows } = await client.query(
      "select client_dn, current_setting('application_name') as app from pg_stat_ssl where pid = pg_backend_pid()",
    );
    assert.deepEqual(rows, [{ client_dn: "/CN=client", app: "a Worker" }]);
    await client.end();
    const { events } = gateway;
    await until(() =>
      events.some(
        ({ kind, origin }) =>
          kind === "handshake" && origin === `postgres://localhost:${server.port}`,
      ),
    );
  });

  await t.test("the gateway signs in with the password, however it is asked", async () => {
    server.sql(`
      create role scram login password 'secret';
      set password_encryption = 'md5';
      create role hashed login password 'secret';
      create role plain login password 'secret';
    `);
    for (const user of ["scram", "hashed", "plain"]) {
      await handle.setDatabase({ ...config, user });
      const client = await pgClient(gateway, { password: "the Worker has another" });
      await client.connect();
      const { rows } = await client.query("select current_user as user");
      assert.deepEqual(rows, [{ user }]);
      await client.end();
    }
  });

  await t.test(
    "SCRAM is bound to the connection: who has TLS end in between is not let in",
    async () => {
      const between = await interceptor(t, authority, server.port);
      await handle.setDatabase({ ...config, port: between, user: "hashed" });
      const client = await pgClient(gateway);
      await client.connect();
      await client.end();
      await handle.setDatabase({ ...config, port: between, user: "scram" });
      assert.match(
        (await refusal(gateway)).message,
        /^database_sign_in_refused: .*SCRAM channel binding check failed/,
      );
      await handle.setDatabase(config);
    },
  );

  await t.test("a wrong password is the server's word, in our frame", async () => {
    await handle.setDatabase({ ...config, user: "scram", sealedPassword: sealedPassword("wrong") });
    const error = await refusal(gateway);
    assert.match(
      error.message,
      /^database_sign_in_refused: .*password authentication failed for user "scram" \(28P01\)$/,
    );
    assert.equal(error.code, "28P01");
    assert.match(error.hint ?? "", /wrangler hyperdrive update/);
    await handle.setDatabase(config);
  });

  await t.test("another database is not what the binding leads to", async () => {
    const error = await refusal(gateway, { database: "template1" });
    assert.match(error.message, /^database_name_other: /);
    assert.equal(error.code, "3D000");
  });

  await t.test("the configuration's CA counts alone, and verify-ca asks for no name", async () => {
    const other = await makeAuthority("Other CA");
    await handle.setDatabase({ ...config, authorities: [other.pem] });
    assert.match((await refusal(gateway)).message, /^origin_certificate_unknown_ca: /);
    await handle.setDatabase({ ...config, host: "127.0.0.1", authorities: [authority.pem] });
    const wrongName = await refusal(gateway);
    assert.match(wrongName.message, /^origin_certificate_wrong_name: /);
    assert.match(wrongName.detail ?? "", /./);
    const byCa = { ...config, host: "127.0.0.1", authorities: [authority.pem], verifyName: false };
    await handle.setDatabase(byCa);
    const client = await pgClient(gateway);
    await client.connect();
    await client.end();
    await handle.setDatabase({ ...byCa, authorities: [other.pem] });
    assert.match((await refusal(gateway)).message, /^origin_certificate_unknown_ca: /);
    await handle.setDatabase(config);
  });

  await t.test("a CA that the certificate is not tied to does not widen its trust", async () => {
    const other = await makeAuthority("Tied CA");
    const tied = await authority.issue({ subject: "CN=client" });
    await handle.setCertificate(
      edgeCertificate(tied, { certificateId: "tied", trust: [other.pem] }),
    );
    await handle.setDatabase({ ...config, certificateId: "tied", authorities: [authority.pem] });
    assert.match((await refusal(gateway)).message, /^origin_certificate_/);
    await handle.setDatabase(config);
  });

  await t.test("a refused certificate is told apart", async () => {
    const other = await makeAuthority("Other CA");
    await handle.setCertificate(
      edgeCertificate(await other.issue({ subject: "CN=client" }), { certificateId: "foreign" }),
    );
    await handle.setDatabase({ ...config, certificateId: "foreign" });
    const error = await refusal(gateway);
    assert.match(error.message, /^origin_refused_certificate_ca: /);
    assert.equal(error.code, "08004");
    await handle.setDatabase({ ...config, certificateId: null });
    assert.match(
      (await refusal(gateway)).message,
      /^database_sign_in_refused: .*client certificate/,
    );
    await handle.setDatabase(config);
  });

  await t.test("a driver with ssl on learns that it has to be off", async () => {
    const error = await refusal(gateway, { ssl: { rejectUnauthorized: false } });
    assert.match(error.message, /does not support SSL/);
  });

  await t.test("a query is cancelled", async () => {
    const client = await pgClient(gateway);
    await client.connect();
    const sleeping = client
      .query("select pg_sleep(60)")
      .catch((error: unknown) => error as Refused);
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    await until(() =>
      server
        .sql(
          "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and backend_type = 'client backend'",
        )
        .startsWith("2"),
    );
    const other = await pgClient(gateway);
    const { connection } = other as unknown as { connection: { stream: NodeJS.WritableStream } };
    const packet = Buffer.alloc(16);
    packet.writeInt32BE(16, 0);
    packet.writeInt32BE(80_877_102, 4);
    packet.writeInt32BE(processID, 8);
    packet.writeInt32BE(secretKey, 12);
    connection.stream.write(packet);
    assert.equal(((await sleeping) as Refused).code, "57014");
    await client.end();
  });

  await t.test("a large result passes whole", async () => {
    const client = await pgClient(gateway);
    await client.connect();
    const { rows } = await client.query(
      "select n, repeat('x', 1000) as filler from generate_series(1, 20000) n",
    );
    assert.equal(rows.length, 20_000);
    assert.equal(rows.at(-1).n, 20_000);
    await client.end();
  });

  await t.test(
    "a restarted server ends the session by its word, and the next connection works",
    async () => {
      const client = await pgClient(gateway);
      await client.connect();
      const sleeping = client
        .query("select pg_sleep(61)")
        .catch((error: unknown) => error as Refused);
      await until(() =>
        server
          .sql(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(61)%' and backend_type = 'client backend'",
          )
          .startsWith("2"),
      );
      await server.restart();
      assert.equal(((await sleeping) as Refused).code, "57P01");
      const next = await pgClient(gateway);
      await next.connect();
      await next.end();
    },
  );

  await t.test("as many connections as the configuration allows", async () => {
    await handle.setDatabase({ ...config, connectionLimit: 1 });
    const first = await pgClient(gateway);
    await first.connect();
    const second = await pgClient(gateway);
    const waiting = second.connect();
    await first.end();
    await waiting;
    await second.end();
    await handle.setDatabase(config);
  });

  await t.test("revoked while a query runs", async () => {
    const client = await pgClient(gateway);
    await client.connect();
    const sleeping = client
      .query("select pg_sleep(62)")
      .catch((error: unknown) => error as Refused);
    await until(() =>
      server
        .sql(
          "select count(*) from pg_stat_activity where query like '%pg_sleep(62)%' and backend_type = 'client backend'",
        )
        .startsWith("2"),
    );
    const revoked = edgeCertificate(await authority.issue({ subject: "CN=client" }), {
      revokedOn: new Date().toISOString(),
    });
    await handle.setCertificate(revoked);
    const error = (await sleeping) as Refused;
    assert.match(error.message, /^origin_connection_cut: .*was revoked$/);
    assert.equal(error.code, "08006");
    assert.match((await refusal(gateway)).message, /^certificate_revoked: /);
    // Rotated: the next connection presents the new version.
    await handle.setCertificate(
      edgeCertificate(await authority.issue({ subject: "CN=client" }), { version: 2 }),
    );
    const next = await pgClient(gateway);
    await next.connect();
    await next.end();
  });

  await t.test("a deleted configuration is reported as such", async () => {
    await handle.removeDatabase("a", "d");
    assert.match((await refusal(gateway)).message, /^database_gone: /);
  });
});

test("a database without TLS and a server that is not a database are told apart", async (t) => {
  const answers = ["N", "HTTP/1.1 400 Bad Request\r\n\r\n"];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.write(answers.shift() ?? ""));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const gateway = await testGateway(t, { failureDetails: "owner", timeouts: { session: 300 } });
  await bindDatabase(gateway, databaseConfig({ port, certificateId: null }));
  const noTls = await refusal(gateway);
  // Others than the owner see the text of the failures table, and the ray under which the log has the details.
  assert.match(noTls.message, /^origin_postgres_no_tls: .* \(ray [0-9a-f]{16}\)$/);
  assert.match((await refusal(gateway)).message, /^origin_postgres_no_tls: /);
  await gateway.handle.setDatabase(databaseConfig({ port: 1, certificateId: null }));
  assert.match((await refusal(gateway)).message, /^origin_refused: /);
});
