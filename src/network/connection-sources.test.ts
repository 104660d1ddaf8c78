import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
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

test("two connections of one proxy keep apart what was said of each, and the word ends with its connection", async (t) => {
  const server = createServer((request, response) => response.end(`from ${peerOf(request)}`));
  const proxies = new TrustedProxies({ trusted: ["127.0.0.1"], header: "forwarded" });
  const peerOf = acceptProxyProtocol(server, proxies);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const dial = async (localPort?: number): Promise<{ client: Socket; accepted: Socket }> => {
    const client = connect({ port, host: "127.0.0.1", ...(localPort && { localPort }) });
    t.after(() => client.on("error", () => {}).destroy());
    const [[accepted]] = await Promise.all([once(server, "connection"), once(client, "connect")]);
    return { client, accepted: accepted as Socket };
  };
  t.after(() => server.close());
  const [one, other] = [await dial(), await dial()];
  assert.match(await ask(one.client, HEADER + REQUEST), /from 192\.0\.2\.7$/);
  assert.match(await ask(other.client, REQUEST), /from 127\.0\.0\.1$/);
  assert.match(await ask(one.client, REQUEST), /from 192\.0\.2\.7$/, "each request of it");
  const { localPort } = one.client;
  const closed = new Promise((resolve) => one.accepted.once("close", resolve));
  one.client.resetAndDestroy();
  await closed;
  // Unless another program has taken the port in this moment.
  const again = await dial(localPort).catch(() => dial());
  assert.match(await ask(again.client, REQUEST), /from 127\.0\.0\.1$/, "the next one at its port");
});

async function ask(client: Socket, bytes: string): Promise<string> {
  client.write(bytes);
  return String((await once(client, "data"))[0]);
}
