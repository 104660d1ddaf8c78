import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { createServer } from "node:tls";
import { ask, edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { flags, frames, rawHttp2Origin, uint32 } from "./helpers/raw-http2.ts";
import { until } from "./helpers/until.ts";

const ended: (() => void | Promise<void>)[] = [];
let authority: TestAuthority;
let gateway: TestGateway;
before(async () => {
  authority = await makeAuthority();
  gateway = await testGateway({ after: (end: () => Promise<void>) => void ended.push(end) }, {});
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(edgeCertificate(await authority.issue({ subject: "CN=c" })));
  await gateway.bind();
});
after(async () => {
  for (const end of ended) await end();
});

for (const [what, head] of [
  [
    "sends informational responses without end",
    "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n",
  ],
  ["answers with the status 099", "HTTP/1.1 099 X\r\ncontent-length: 0\r\n\r\n"],
] as const) {
  test(`the response of an origin that ${what} is malformed, and its connection is closed`, async () => {
    const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    let closed = 0;
    const server = createServer({ key, cert: chain }, (socket) => {
      socket.on("error", () => {}).on("close", () => (closed += 1));
      const go = (): void => {
        if (!socket.destroyed && socket.write(head.repeat(100))) setImmediate(go);
      };
      socket.on("drain", go).once("data", go);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    ended.unshift(() => void server.close());
    const url = `https://localhost:${(server.address() as AddressInfo).port}`;
    const { headers } = await ask(gateway.socket(), url);
    assert.equal(headers["countersign-failure"], "origin_response_malformed");
    await until(() => closed === 1);
  });
}

test("an origin that tells progress a thousand times is waited for", async () => {
  const { key, chain } = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const server = createServer({ key, cert: chain }, (socket) => {
    const progress = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
    const answer = `${progress}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok`;
    socket.on("error", () => {}).on("data", () => socket.write(answer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ended.unshift(() => void server.close());
  const url = `https://localhost:${(server.address() as AddressInfo).port}`;
  // Twice: the count begins anew with each response.
  assert.equal((await ask(gateway.socket(), url)).text, "ok");
  assert.equal((await ask(gateway.socket(), url)).text, "ok");
});

test("an origin that sends GOAWAY without end is malformed, and its connection is closed", async () => {
  let open = 0;
  await using origin = await rawHttp2Origin(authority, (connection, { type }) => {
    if (type !== frames.HEADERS) return;
    open += 1;
    connection.socket.on("close", () => (open -= 1));
    const go = (): void => {
      for (let i = 0; i < 50; i += 1) {
        connection.send(frames.GOAWAY, flags.NONE, 0, uint32(0x7fffffff, 0));
      }
      if (open > 0) setImmediate(go);
    };
    go();
  });
  const { headers } = await ask(gateway.socket(), origin.url);
  assert.equal(headers["countersign-failure"], "origin_response_malformed");
  await until(() => open === 0);
});
