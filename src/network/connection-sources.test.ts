import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type AddressInfo } from "node:net";
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
