import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { createSecureContext, TLSSocket } from "node:tls";
import { bindDatabase, connectDatabase, databaseConfig, pgClient } from "./helpers/databases.ts";
import { testGateway } from "./helpers/gateway.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

async function listen(t: TestContext, on: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    t.after(() => socket.destroy());
    on(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

test("a PostgreSQL server that does not go on, at whatever step, is told by name", async (t) => {
  const authority = await makeAuthority();
  const { chain, key } = await authority.issue({ subject: "CN=db", dns: ["localhost"] });
  const secureContext = createSecureContext({ cert: chain, key });
  const secured = (socket: Socket): void => {
    socket.once("data", () => {
      socket.write("S");
      new TLSSocket(socket, { isServer: true, secureContext }).on("error", () => {}).resume();
    });
  };
  const gateway = await testGateway(t, { timeouts: { handshake: 500 } });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  const steps: readonly (readonly [(socket: Socket) => void, RegExp])[] = [
    [(socket) => socket.resume(), /^origin_handshake_timeout: .*that TLS may begin/],
    [(socket) => socket.once("data", () => socket.end()), /^origin_handshake_reset: /],
    [(socket) => socket.once("data", () => socket.write("S")), /^origin_handshake_timeout: /],
    [secured, /^database_sign_in_timeout: /],
  ];
  for (const [at, [server, said]] of steps.entries()) {
    const port = await listen(t, server);
    const databaseId = `d${at}`;
    const config = databaseConfig({ port, certificateId: null, databaseId });
    await bindDatabase(gateway, config, `DB${at}`);
    const client = await pgClient(gateway, {}, `DB${at}`);
    await assert.rejects(client.connect(), { message: said });
  }
});

test("who does not answer MySQL's greeting as a driver does keeps no connection to the server", async (t) => {
  const open = new Set<Socket>();
  const port = await listen(t, (socket) => {
    open.add(socket.once("close", () => open.delete(socket)));
    socket.resume().write(greeting());
  });
  const gateway = await testGateway(t, {});
  await bindDatabase(gateway, databaseConfig({ port, certificateId: null, protocol: "mysql" }));
  const driver = await connectDatabase(gateway);
  driver.on("error", () => {});
  let said = "";
  driver.on("data", (chunk: Buffer) => (said += chunk.toString("latin1")));
  await until(() => said.includes("mysql_native_password"));
  driver.write(Buffer.alloc(70_000, 0xa5));
  await once(driver, "close");
  assert.match(said, /database_driver_protocol: /);
  const leaving = await connectDatabase(gateway);
  leaving.on("error", () => {});
  await once(leaving, "data");
  assert.ok(open.size > 0);
  leaving.destroy();
  await until(() => open.size === 0);
});

function greeting(): Buffer {
  const body = Buffer.concat([
    Buffer.from("\x0a8.0.0\0", "latin1"),
    Buffer.alloc(4, 1),
    Buffer.from("12345678\0"),
    Buffer.from("ffff210200ffff15", "hex"),
    Buffer.alloc(10),
    Buffer.from("123456789012\0mysql_native_password\0"),
  ]);
  return Buffer.concat([Buffer.from([body.length, 0, 0, 0]), body]);
}
