import assert from "node:assert/strict";
import { createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { createConnection, type Connection, type RowDataPacket } from "mysql2/promise";
import {
  bindDatabase,
  connectDatabase,
  databaseConfig,
  sealedPassword,
} from "../helpers/databases.ts";
import { edgeCertificate, testGateway, type TestGateway } from "../helpers/gateway.ts";
import { startMariadb, withoutMariadb } from "../helpers/mariadb.ts";
import { makeAuthority } from "../helpers/pki.ts";
import { until } from "../helpers/until.ts";

interface Refused extends Error {
  readonly sqlState?: string;
}

async function connect(gateway: TestGateway): Promise<Connection> {
  const stream = await connectDatabase(gateway);
  return await createConnection({ stream, user: "app", password: "made-up", database: "shop" });
}

async function refusal(gateway: TestGateway): Promise<Refused> {
  return await connect(gateway).then(
    () => assert.fail("it was let in"),
    (error: unknown) => error as Refused,
  );
}

test("mysql2 through a Hyperdrive binding", { skip: withoutMariadb }, async (t) => {
  const authority = await makeAuthority();
  const server = await startMariadb(t, authority);
  server.sql(`
    create user app@'%' identified by 'secret' require x509;
    grant all on shop.* to app@'%';
  `);
  const gateway = await testGateway(t);
  const { handle } = gateway;
  await handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=client" })));
  const config = databaseConfig({
    protocol: "mysql",
    port: server.port,
    database: "shop",
    user: "app",
  });
  await bindDatabase(gateway, config);

  await t.test(
    "the gateway signs in (REQUIRE X509), the driver with a made-up password",
    async () => {
      const client = await connect(gateway);
      const [rows] = await client.query<RowDataPacket[]>(
        "select current_user() as user, database() as name",
      );
      assert.deepEqual({ ...rows[0] }, { user: "app@%", name: "shop" });
      const [many] = await client.query<RowDataPacket[]>(
        "select repeat('x', 100000) as filler, seq from seq_1_to_50",
      );
      assert.equal(many.length, 50);
      const [prepared] = await client.execute<RowDataPacket[]>("select ? + 1 as n", [41]);
      assert.equal(Number(prepared[0]?.["n"]), 42);
      await client.end();
    },
  );

  await t.test("a wrong password and a missing certificate are the server's word", async () => {
    await handle.setDatabase({ ...config, sealedPassword: sealedPassword("wrong") });
    const wrong = await refusal(gateway);
    assert.match(wrong.message, /^database_sign_in_refused: .*Access denied for user 'app'/);
    assert.equal(wrong.sqlState, "28000");
    await handle.setDatabase({ ...config, certificateId: null });
    assert.match((await refusal(gateway)).message, /^database_sign_in_refused: .*Access denied/);
    await handle.setDatabase(config);
  });

  await t.test("an untrusted server and a wrong name are told apart", async () => {
    const other = await makeAuthority("Other CA");
    await handle.setDatabase({ ...config, authorities: [other.pem] });
    assert.match((await refusal(gateway)).message, /^origin_certificate_unknown_ca: /);
    await handle.setDatabase({ ...config, host: "127.0.0.1" });
    assert.match((await refusal(gateway)).message, /^origin_certificate_wrong_name: /);
    await handle.setDatabase(config);
  });

  await t.test("a certificate of a CA that the server does not know is refused by it", async () => {
    const stranger = await (await makeAuthority("Other CA")).issue({ subject: "CN=client" });
    await handle.setCertificate(edgeCertificate(stranger, { version: 2, sealedId: "c/2" }));
    assert.match((await refusal(gateway)).message, /^origin_refused_certificate_ca: /);
    const known = await authority.issue({ subject: "CN=client" });
    await handle.setCertificate(edgeCertificate(known, { version: 3, sealedId: "c/3" }));
    await (await connect(gateway)).end();
  });

  await t.test("a server that restarts ends the session", async () => {
    const client = await connect(gateway);
    const sleeping = client.query("select sleep(60)").then(
      () => null,
      (error: unknown) => error as Refused,
    );
    await until(() => server.sql("show processlist").includes("sleep(60)"));
    await server.restart();
    // When the server stops, either the query ends first, or only the connection.
    await sleeping;
    client.destroy();
    const next = await connect(gateway);
    await next.end();
  });

  await t.test("revoked while a query runs", async () => {
    const client = await connect(gateway);
    const sleeping = client.query("select sleep(61)").then(
      () => assert.fail("it went on"),
      (error: unknown) => error as Refused,
    );
    await until(() => server.sql("show processlist").includes("sleep(61)"));
    await handle.setCertificate(
      edgeCertificate(await authority.issue({ subject: "CN=client" }), {
        version: 3,
        sealedId: "c/3",
        revokedOn: new Date().toISOString(),
      }),
    );
    assert.match((await sleeping).message, /^origin_connection_cut: .*was revoked/);
    assert.match((await refusal(gateway)).message, /^certificate_revoked: /);
  });
});

test("a MySQL without TLS and a server that is not MySQL are told apart", async (t) => {
  const answers = [greeting(), "HTTP/1.1 400 Bad Request\r\n\r\n"];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(answers.shift() ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const gateway = await testGateway(t);
  const config = databaseConfig({ protocol: "mysql", port, database: "shop", certificateId: null });
  await bindDatabase(gateway, config);
  assert.match((await refusal(gateway)).message, /^origin_mysql_no_tls: /);
  assert.match((await refusal(gateway)).message, /^database_protocol: /);
  await gateway.handle.removeDatabase("a", "d");
  assert.match((await refusal(gateway)).message, /^database_gone: /);
});

/** The greeting of a server without a certificate: protocol 10, without CLIENT_SSL. */
function greeting(): Buffer {
  const body = Buffer.concat([
    Buffer.from("\n5.7.0\0"),
    Buffer.from([1, 0, 0, 0]),
    Buffer.alloc(8, 65),
    Buffer.from([0, 0xff, 0xf7 & ~0x08, 8, 2, 0, 0xff, 0x01, 21]),
    Buffer.alloc(10),
    Buffer.alloc(12, 65),
    Buffer.from("\0mysql_native_password\0"),
  ]);
  const head = Buffer.alloc(4);
  head.writeUIntLE(body.length, 0, 3);
  return Buffer.concat([head, body]);
}
