import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { acceptProxyProtocol } from "./connection-sources.ts";
import { TrustedProxies } from "./trusted-proxies.ts";

async function answerTo(trusted: readonly string[], bytes: string): Promise<string> {
  const server = createServer((request, response) => {
    response.setHeader("connection", "close").end(`from ${peerOf(request)}`);
  });
  const peerOf = acceptProxyProtocol(server, new TrustedProxies({ trusted, header: "forwarded" }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  try {
    client.on("error", () => {}).write(bytes);
    let answer = "";
    client.on("data", (chunk) => (answer += String(chunk)));
    await once(client, "close");
    return answer;
  } finally {
    server.close();
  }
}

const REQUEST = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const HEADER = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";

test("a trusted proxy's word is where a request came from", async () => {
  assert.match(await answerTo(["127.0.0.1"], HEADER + REQUEST), /from 192\.0\.2\.7$/);
  const mapped = "PROXY TCP6 ::ffff:192.0.2.7 ::1 4711 443\r\n";
  assert.match(await answerTo(["127.0.0.0/8"], mapped + REQUEST), /from 192\.0\.2\.7$/);
});

test("without a header, and for a health check, it is the proxy itself", async () => {
  assert.match(await answerTo(["127.0.0.1"], REQUEST), /from 127\.0\.0\.1$/);
  assert.match(await answerTo(["127.0.0.1"], `PROXY UNKNOWN\r\n${REQUEST}`), /from 127\.0\.0\.1$/);
});

test("a stranger's header is no HTTP, and a broken one closes the connection", async () => {
  for (const trusted of [[], ["10.0.0.0/8"]]) {
    assert.match(await answerTo(trusted, HEADER + REQUEST), /^HTTP\/1\.1 400/);
  }
  assert.equal(await answerTo(["127.0.0.1"], `PROXY TCP4 nobody\r\n${REQUEST}`), "");
});

test("two connections of one proxy keep apart what was said of each, and the word ends with its connection", async () => {
  const server = createServer((request, response) => response.end(`from ${peerOf(request)}`));
  const proxies = new TrustedProxies({ trusted: ["127.0.0.1"], header: "forwarded" });
  const peerOf = acceptProxyProtocol(server, proxies);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const [one, other] = [connect(port, "127.0.0.1"), connect(port, "127.0.0.1")];
  assert.match(await ask(one, HEADER + REQUEST), /from 192\.0\.2\.7$/);
  const localPort = one.localPort!;
  assert.match(await ask(other, REQUEST), /from 127\.0\.0\.1$/);
  assert.match(await ask(one, REQUEST), /from 192\.0\.2\.7$/, "each request of it");
  one.resetAndDestroy();
  await gone(server, 1);
  const again = connect({ port, host: "127.0.0.1", localPort });
  assert.match(await ask(again, REQUEST), /from 127\.0\.0\.1$/, "the next one at its port");
  for (const client of [other, again]) client.destroy();
  server.close();
});

async function ask(client: Socket, bytes: string): Promise<string> {
  client.write(bytes);
  return String((await once(client, "data"))[0]);
}

/** Until a server has so many connections. */
async function gone(server: Server, left: number): Promise<void> {
  while ((await promisify(server.getConnections.bind(server))()) > left) await turn();
}
