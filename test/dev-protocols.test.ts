import assert from "node:assert/strict";
import { createServer } from "node:tls";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { WebSocketServer } from "ws";
import { createServer as createHttpServer } from "node:http";
import { openAuthority } from "../src/dev/authority.ts";
import { startDevOrigin } from "../src/dev/origin.ts";
import { makeProject, type TestProject } from "./helpers/dev-project.ts";

const worker = `
export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const to = searchParams.get("to");
    if (pathname === "/socket") {
      const { webSocket } = await env.MY_CERT.fetch(to, { headers: { upgrade: "websocket" } });
      webSocket.accept();
      const answer = new Promise((resolve) => webSocket.addEventListener("message", resolve));
      webSocket.send("hello");
      return new Response((await answer).data);
    }
    if (pathname === "/tcp") {
      const socket = env.MY_CERT.connect(to);
      const writer = socket.writable.getWriter();
      await writer.write(new TextEncoder().encode("hello"));
      const { value } = await socket.readable.getReader().read();
      return new Response(value);
    }
    return env.MY_CERT.fetch(to);
  },
};`;

async function shop(): Promise<TestProject> {
  return makeProject({
    "index.js": worker,
    "wrangler.json": JSON.stringify({
      name: "shop",
      main: "index.js",
      compatibility_date: "2025-11-17",
      mtls_certificates: [{ binding: "MY_CERT", certificate_id: "none" }],
    }),
  });
}

describe("a binding of countersign dev carries", () => {
  test("WebSockets, to a service behind `countersign dev origin --to`", async () => {
    await using project = await shop();
    const behind = createHttpServer();
    const sockets = new WebSocketServer({ server: behind });
    sockets.on("connection", (socket, request) => {
      const der = String(request.headers["client-cert"]).replaceAll(":", "");
      socket.on("message", (message: Buffer) => {
        socket.send(`${message.toString()}, ${der.length > 100}`);
      });
    });
    behind.listen(0, "127.0.0.1");
    await once(behind, "listening");
    const { port } = behind.address() as AddressInfo;
    try {
      const authority = await openAuthority(project.folder);
      const to = new URL(`http://127.0.0.1:${port}`);
      await using origin = await startDevOrigin({ authority, to });
      await using dev = await project.dev();
      const answer = await fetch(`${dev.url}/socket?to=${origin.url}/chat`);
      assert.equal(await answer.text(), "hello, true");
      assert.match(origin.requests[0]?.client?.subject ?? "", /CN=MY_CERT/);
    } finally {
      sockets.close();
      for (const client of sockets.clients) client.terminate();
      behind.close();
    }
  });

  test("connect(): TLS with the certificate over TCP", async () => {
    await using project = await shop();
    const authority = await openAuthority(project.folder);
    const { cert, key } = await authority.issue({ subject: "CN=database", dns: ["localhost"] });
    await using server = createServer(
      { cert, key, ca: authority.ca, requestCert: true, rejectUnauthorized: true },
      (socket) => {
        const subject = socket.getPeerX509Certificate()?.subject.replaceAll("\n", ",");
        socket.on("data", (data) => socket.end(`${String(data)} to ${subject}`));
      },
    ).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    await using dev = await project.dev();
    const answer = await fetch(`${dev.url}/tcp?to=localhost:${port}`);
    assert.match(await answer.text(), /^hello to .*CN=MY_CERT$/);
  });
});

test("without a network nothing is asked for, and so nothing waits", async () => {
  await using project = await shop();
  const noNetwork = join(import.meta.dirname, "helpers", "no-network.mjs");
  await using origin = project.run("dev", "origin", "--port", "0");
  const [originUrl] = await origin.says(/https:\/\/localhost:\d+/);
  await using dev = await project.with({ NODE_OPTIONS: `--import ${noNetwork}` }).dev();
  const response = await fetch(`${dev.url}/?to=${originUrl}`);
  assert.equal(response.status, 200);
  // A part that waits for the network has asked for it before, and is named here.
  assert.doesNotMatch(dev.output, /REACHED OUT/);
  assert.doesNotMatch(dev.output, /Unable to fetch/);

  const asking = new AbortController();
  const unknown = fetch(`${dev.url}/?to=https://api.example.com/`, { signal: asking.signal });
  await dev.says(/REACHED OUT to api\.example\.com/);
  asking.abort();
  await assert.rejects(unknown);
});
