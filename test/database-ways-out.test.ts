import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { bindDatabase, databaseConfig, pgClient } from "./helpers/databases.ts";
import { edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { makeAuthority } from "./helpers/pki.ts";

/** Database bindings obey the same address policy as other bindings: some rows of its table, and some spellings. */
const REFUSED = [
  "127.0.0.1",
  "::1",
  "::ffff:127.0.0.1",
  "localhost",
  "127.1",
  "2130706433",
  "0x7f000001",
  "0.0.0.0",
  "169.254.169.254",
  "::ffff:169.254.169.254",
  "64:ff9b::a9fe:a9fe",
  "2002:a9fe:a9fe::1",
  "168.63.129.16",
  "100.100.100.200",
  "fd00:ec2::254",
  "fe80::1",
];

async function closedGateway(t: TestContext, port: number): Promise<TestGateway> {
  const gateway = await testGateway(t, {
    addresses: { allow: [], deny: [], development: false, denyLocalPorts: [port], hosts: {} },
  });
  const authority = await makeAuthority();
  const leaf = await authority.issue({ subject: "CN=client" });
  await gateway.handle.setCertificate(edgeCertificate(leaf));
  return gateway;
}

/** A server on this machine that counts its connections. */
async function listener(
  t: TestContext,
): Promise<{ readonly port: number; readonly seen: () => number }> {
  let seen = 0;
  const server = createServer((socket) => {
    seen++;
    socket.destroy();
  }).listen(0, "::");
  await once(server, "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, seen: () => seen };
}

test("Hyperdrive leads to no address that bindings may not reach, however it is spelt", async (t) => {
  const { port, seen } = await listener(t);
  const gateway = await closedGateway(t, 1);
  for (const [at, host] of REFUSED.entries()) {
    const config = databaseConfig({ databaseId: `d${at}`, host, port });
    await bindDatabase(gateway, config, `DB${at}`);
    const client = await pgClient(gateway, {}, `DB${at}`);
    await assert.rejects(client.connect(), /^error: origin_address_refused: /, host);
  }
  assert.equal(seen(), 0);
  // The same while loopback is allowed.
  await gateway.handle.setAddresses({ allow: [], deny: [], development: true, denyLocalPorts: [] });
  const client = await pgClient(gateway, {}, "DB0");
  await assert.rejects(client.connect(), (error: Error) => !/address_refused/.test(error.message));
  assert.equal(seen(), 1);
});

test("nor does the test of a configuration, which says no more than that", async (t) => {
  const { port, seen } = await listener(t);
  const gateway = await closedGateway(t, 1);
  for (const host of ["127.0.0.1", "169.254.169.254", "localhost"]) {
    await gateway.handle.setDatabase(databaseConfig({ host, port }));
    const report = await gateway.handle.testDatabase("a", "d", "");
    assert.match(JSON.stringify(report), /origin_address_refused/, host);
  }
  assert.equal(seen(), 0);
});
