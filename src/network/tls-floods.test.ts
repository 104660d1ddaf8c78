import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { connect as connectTls, createServer as createTlsServer, type TLSSocket } from "node:tls";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { TLS_FLOOD, TlsFloods, wireOf } from "./tls-floods.ts";

const KIB = 1024;

test("more than 128 KiB in a second that are no data end a connection, as a record for each byte does not", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const floods = new TlsFloods();
  const [flooded, steady, small] = [connection(), connection(), connection()];
  for (const { tls } of [flooded, steady, small]) floods.watch(tls);
  for (let second = 0; second < 100; second += 1) {
    flooded.wire.bytesRead += second === 50 ? 129 * KIB : KIB;
    steady.wire.bytesRead += 127 * KIB;
    small.wire.bytesRead += 50 * 100 * KIB;
    small.tls.bytesRead += 100 * KIB;
    t.mock.timers.tick(1_000);
    assert.equal(flooded.ended.length, second < 50 ? 0 : 1);
  }
  assert.equal(flooded.ended[0]?.code, TLS_FLOOD);
  assert.deepEqual([steady.ended, small.ended], [[], []]);
});

test("without a connection nothing is looked at", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const cleared = t.mock.method(globalThis, "clearInterval");
  const floods = new TlsFloods();
  const one = connection();
  floods.watch(one.tls);
  one.tls.emit("close");
  assert.equal(cleared.mock.callCount(), 1);
});

test("of a real connection, at either end, what is on the wire is known", async (t) => {
  const { chain, key } = await (await makeAuthority()).issue({ subject: "CN=localhost" });
  const server = createTlsServer({ cert: chain, key });
  const at = { port: await listen(t, server), host: "127.0.0.1" };
  for (const options of [{ socket: connect(at) }, at]) {
    const accepted = once(server, "secureConnection") as Promise<[TLSSocket]>;
    const client = connectTls({ ...options, rejectUnauthorized: false });
    t.after(() => client.destroy());
    const [served] = await accepted;
    for (const tls of [client, served]) assert.ok(wireOf(tls)!.bytesRead > 200);
    assert.deepEqual([client.bytesRead, served.bytesRead], [0, 0]);
    const { bytesRead } = wireOf(client)!;
    served.write("data");
    await once(client, "data");
    assert.equal(client.bytesRead, 4);
    assert.ok(wireOf(client)!.bytesRead > bytesRead + 4);
  }
});

function connection() {
  const wire = { bytesRead: 3 * KIB };
  const ended: (Error & { code?: string })[] = [];
  const tls = Object.assign(new EventEmitter(), {
    _handle: { _parent: wire },
    bytesRead: 0,
    destroy: (error: Error) => void ended.push(error),
  });
  return { wire, ended, tls: tls as unknown as TLSSocket & { bytesRead: number } };
}

async function listen(t: TestContext, server: ReturnType<typeof createServer>): Promise<number> {
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}
