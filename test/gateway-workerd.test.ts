import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { edgeCertificate, testGateway, type TestGateway } from "./helpers/gateway.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startWorkerd } from "./helpers/workerd.ts";

test("a Worker's fetch(), with body, headers and redirects, through a real workerd", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({
    authority,
    handler: (request, response) => {
      if (request.url === "/redirect") {
        response.writeHead(302, { location: `${origin.url}/end` }).end();
      } else {
        response.writeHead(203, { "x-from": "origin" });
        request.pipe(response);
      }
    },
  });
  const worker = await startWorkerd(
    t,
    gateway.directory,
    `export default { async fetch(request, env) {
      const path = new URL(request.url).pathname;
      const response = path === "/post"
        ? await env.CERT.fetch("${origin.url}/", { method: "POST", body: "x".repeat(100000) })
        : await env.CERT.fetch("${origin.url}" + path);
      const text = await response.text();
      return Response.json({ status: response.status, from: response.headers.get("x-from"), length: text.length, url: response.url });
    } }`,
  );
  assert.deepEqual(JSON.parse((await worker.get("/post")).text), {
    status: 203,
    from: "origin",
    length: 100_000,
    url: `${origin.url}/`,
  });
  assert.deepEqual(JSON.parse((await worker.get("/redirect")).text), {
    status: 203,
    from: "origin",
    length: 0,
    url: `${origin.url}/end`,
  });
  assert.deepEqual(origin.subjects, ["CN=client", "CN=client", "CN=client"]);
});

test("a Worker reads why a fetch failed, and http:// is refused", async (t) => {
  const { gateway } = await ready(t);
  const worker = await startWorkerd(
    t,
    gateway.directory,
    `export default { async fetch(request, env) {
      const response = await env.CERT.fetch("http://localhost:80/");
      return Response.json([response.status, response.headers.get("countersign-failure"), await response.json()]);
    } }`,
  );
  const [status, code, body] = JSON.parse((await worker.get("/")).text);
  assert.deepEqual([status, code, body.error.code], [520, "origin_http_refused", code]);
});

test("a Worker's WebSocket goes over TLS with the certificate", async (t) => {
  const { authority, gateway } = await ready(t);
  await using origin = await startOrigin({ authority });
  const sockets = new WebSocketServer({ noServer: true });
  const subjects: string[] = [];
  origin.server.on("upgrade", (request, socket, head) => {
    subjects.push((socket as TLSSocket).getPeerX509Certificate()!.subject);
    sockets.handleUpgrade(request, socket, head, (client) => {
      client.on("message", (data, binary) => client.send(data, { binary }));
    });
  });
  const worker = await startWorkerd(
    t,
    gateway.directory,
    `export default { async fetch(request, env) {
      const response = await env.CERT.fetch("${origin.url}/socket", { headers: { Upgrade: "websocket" } });
      const socket = response.webSocket;
      socket.accept();
      const echoed = new Promise((resolve) => socket.addEventListener("message", (event) => resolve(event.data)));
      socket.send("hello");
      const text = await echoed;
      socket.close(1000);
      return new Response(text);
    } }`,
  );
  assert.deepEqual(await worker.get("/"), { status: 200, text: "hello" });
  assert.deepEqual(subjects, ["CN=client"]);
});

test("a Worker's connect() is TLS with the certificate over TCP", async (t) => {
  const { authority, gateway } = await ready(t);
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const subjects: string[] = [];
  const origin = createServer(
    { key: server.key, cert: server.chain, ca: authority.pem, requestCert: true },
    (socket) => {
      subjects.push(socket.getPeerX509Certificate()!.subject);
      socket.pipe(socket);
    },
  );
  await new Promise<void>((resolve) => origin.listen(0, "127.0.0.1", resolve));
  t.after(() => origin.close());
  const { port } = origin.address() as AddressInfo;
  const worker = await startWorkerd(
    t,
    gateway.directory,
    `export default { async fetch(request, env) {
      const socket = env.CERT.connect("localhost:" + new URL(request.url).pathname.slice(1));
      try {
        await socket.opened;
        const writer = socket.writable.getWriter();
        await writer.write(new TextEncoder().encode("hello"));
        await writer.close();
        return new Response(await new Response(socket.readable).text());
      } catch (error) {
        return new Response(error.message, { status: 500 });
      }
    } }`,
  );
  assert.deepEqual(await worker.get(`/${port}`), { status: 200, text: "hello" });
  assert.deepEqual(subjects, ["CN=client"]);
  const refused = await worker.get("/1");
  assert.equal(refused.status, 500);
});

async function ready(t: TestContext): Promise<{ authority: TestAuthority; gateway: TestGateway }> {
  const authority = await makeAuthority();
  const gateway = await testGateway(t);
  await gateway.handle.setTrust("a", { authorities: [authority.pem], hosts: {}, proxied: [] });
  await gateway.handle.setCertificate(
    edgeCertificate(await authority.issue({ subject: "CN=client" })),
  );
  await gateway.bind();
  return { authority, gateway };
}
