import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import type { StartGatewayOptions } from "../../src/gateway/start-options.ts";
import { framed } from "../../src/gateway/database/mysql-packets.ts";
import { bytes } from "../helpers/database-opening.ts";
import { bindDatabase, connectDatabase, databaseConfig, pgClient } from "../helpers/databases.ts";
import { edgeCertificate, testGateway, type TestGateway } from "../helpers/gateway.ts";
import { startPgbouncer, withoutPgbouncer } from "../helpers/pgbouncer.ts";
import { makeAuthority, type TestAuthority } from "../helpers/pki.ts";
import { startPostgres, withoutPostgres } from "../helpers/postgres.ts";
import { until } from "../helpers/until.ts";

async function lab(
  t: TestContext,
  authority: TestAuthority,
  options: Partial<StartGatewayOptions> = {},
): Promise<TestGateway> {
  const gateway = await testGateway(t, options);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(
    edgeCertificate(await authority.issue({ subject: "CN=client" })),
  );
  return gateway;
}

async function refusal(gateway: TestGateway): Promise<Error & { readonly code?: string }> {
  const client = await pgClient(gateway);
  return await client.connect().then(
    () => assert.fail("it was let in"),
    (error: unknown) => error as Error,
  );
}

test(
  "who finds no free connection to a database waits, and is told in the driver's protocol that none became free",
  { skip: withoutPostgres },
  async (t) => {
    const authority = await makeAuthority();
    const server = await startPostgres(t, authority);
    const gateway = await lab(t, authority, { timeouts: { connect: 700 } });
    await bindDatabase(gateway, databaseConfig({ port: server.port, connectionLimit: 1 }));
    const first = await pgClient(gateway);
    await first.connect();
    const metrics = await gateway.handle.metrics();
    assert.match(metrics, /^countersign_connections\{[^}]*certificate="c"[^}]*\} 1$/m);
    const error = await refusal(gateway);
    assert.match(error.message, /^database_connections_exhausted: all 1 connections .*"orders"/);
    assert.equal(error.code, "53300");
    await first.end();
    const next = await pgClient(gateway);
    await next.connect();
    await next.end();
  },
);

test(
  "a session that carries nothing is ended, and the driver is told why",
  { skip: withoutPostgres },
  async (t) => {
    const authority = await makeAuthority();
    const server = await startPostgres(t, authority);
    const gateway = await lab(t, authority, { timeouts: { session: 700 } });
    await bindDatabase(gateway, databaseConfig({ port: server.port, connectionLimit: 1 }));
    const client = await pgClient(gateway);
    await client.connect();
    await until(() => client.errors.length > 0);
    assert.match(client.errors[0]!.message, /^database_session_idle: /);
    // The place of the closed connection is free again.
    const next = await pgClient(gateway);
    await next.connect();
    await next.end();
  },
);

test("a driver that does not answer MySQL's greeting gives its place back", async (t) => {
  const greeting = Buffer.concat([
    Buffer.from("\x0a8.4.0\0", "latin1"),
    Buffer.alloc(4),
    Buffer.from("12345678\0\xff\xff\x2d\x02\0\xff\x00\x15", "latin1"),
    Buffer.alloc(10),
    Buffer.from("123456789012\0mysql_native_password\0"),
  ]);
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(framed(0, greeting));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const gateway = await testGateway(t, { timeouts: { handshake: 700 } });
  const config = { port, certificateId: null, connectionLimit: 1, protocol: "mysql" } as const;
  await bindDatabase(gateway, databaseConfig(config));
  const silent = await connectDatabase(gateway);
  const greeted = await bytes(silent, 10);
  assert.equal(greeted.toString("latin1", 5, 10), "8.4.0");
  const next = await connectDatabase(gateway);
  assert.equal((await bytes(next, 10)).toString("latin1", 5, 10), "8.4.0");
  const said = (await silent.toArray()).join("");
  assert.match(said, /#08P01database_driver_protocol: the driver did not begin within 700 ms/);
  next.destroy();
});

test("a Worker holds 256 connections to a database, those that say nothing among them", async (t) => {
  const gateway = await testGateway(t);
  await bindDatabase(gateway, databaseConfig({ port: 1, certificateId: null }));
  const held = await Promise.all(Array.from({ length: 256 }, () => connectDatabase(gateway)));
  const error = await refusal(gateway);
  assert.match(error.message, /^binding_connections_exhausted: /);
  assert.equal(error.code, "53300");
  for (const socket of held) socket.destroy();
  await until(async () => (await refusal(gateway)).message.startsWith("origin_refused: "));
});

test(
  "PgBouncer takes the certificate, and many Workers' sessions share its few connections",
  { skip: withoutPostgres || withoutPgbouncer },
  async (t) => {
    const authority = await makeAuthority();
    const server = await startPostgres(t, authority);
    const { port } = await startPgbouncer(t, authority, { server, pool: 2 });
    const gateway = await lab(t, authority);
    await bindDatabase(gateway, databaseConfig({ port }));
    const clients = await Promise.all(Array.from({ length: 12 }, () => pgClient(gateway)));
    await Promise.all(clients.map((client) => client.connect()));
    const answers = await Promise.all(
      clients.map((client) => client.query("select pg_backend_pid() as pid, pg_sleep(0.05)")),
    );
    const pids = new Set(answers.map(({ rows }) => rows[0].pid));
    assert.ok(pids.size <= 2, `${pids.size} connections`);
    await Promise.all(clients.map((client) => client.end()));
    // Without the certificate the server lets nobody in.
    await gateway.handle.setDatabase(databaseConfig({ port, certificateId: null }));
    assert.match((await refusal(gateway)).message, /^(origin|database)_/);
  },
);
