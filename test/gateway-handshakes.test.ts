import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { ask, edgeCertificate, testGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { until } from "./helpers/until.ts";

test("a Worker makes 32 handshakes at once with one server, and others are not held up by those", async (t) => {
  const authority = await makeAuthority();
  const gateway = await testGateway(t, { timeouts: { handshake: 3_000 } });
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
  await using origin = await startOrigin({ authority });
  const sockets: Socket[] = [];
  let began = 0;
  /** It accepts connections, and says nothing but over the first. */
  const slow = createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    if (sockets.length === 1) socket.pipe(connect(origin.port, "127.0.0.1")).pipe(socket);
    else socket.once("data", () => (began += 1));
  }).listen(0, "127.0.0.1");
  await once(slow, "listening");
  t.after(() => {
    slow.close();
    for (const socket of sockets) socket.destroy();
  });

  const url = `https://localhost:${(slow.address() as AddressInfo).port}`;
  // The gateway knows from now on that one connection is for one request.
  assert.equal((await ask(gateway.socket(), url)).status, 200);
  const all = Array.from({ length: 100 }, () => ask(gateway.socket(), url));
  await until(() => sockets.length > 40 && began >= 32);
  assert.equal((await ask(gateway.socket(), origin.url)).status, 200);
  assert.equal(began, 32);
  const answers = await Promise.all(all);
  const codes = new Set(answers.map(({ headers }) => headers["countersign-failure"]));
  assert.ok(codes.has("origin_handshake_timeout"));
});
