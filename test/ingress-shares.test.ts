import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { pino } from "pino";
import { answering, startTestEdge, type TestEdge } from "./helpers/edge.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { makeVersion } from "./helpers/source.ts";
import { until } from "./helpers/until.ts";

const SHARE = 3;
const PROXY = "127.0.0.9";
const lines: string[] = [];
let edge: TestEdge;
before(async () => {
  const authority = await makeAuthority();
  const { key, chain } = await authority.issue({ subject: "CN=default", dns: ["*.localhost"] });
  edge = await startTestEdge({
    clientConnections: SHARE,
    proxies: { trusted: [PROXY], header: "x-forwarded" },
    https: { host: "127.0.0.1", port: 0, redirect: false, byDefault: { key, chain } },
    log: pino({}, { write: (line: string) => void lines.push(line) }),
  });
  await edge.deploy(makeVersion("shared", answering("ok")), { hosts: ["shared.example"] });
});
after(() => edge[Symbol.asyncDispose]());

function open(localAddress: string, port: number): Socket {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  return socket.on("error", () => {});
}

/** The first line of an answer. Null: the connection was closed without one. */
async function ask(socket: Socket): Promise<string | null> {
  socket.write("GET / HTTP/1.1\r\nHost: shared.example\r\n\r\n");
  return new Promise((resolve) => {
    socket.once("data", (data) => resolve(String(data).split("\r\n")[0]!));
    socket.once("close", () => resolve(null));
  });
}

test("an address has its share of connections over both ports together, others and proxies have theirs", async () => {
  const plain = edge.edge.httpPort;
  const secure = Number(new URL(edge.edge.httpsUrl!).port);
  const held = [open("127.0.0.2", plain), open("127.0.0.2", plain), open("127.0.0.2", secure)];
  await Promise.all(held.map((socket) => once(socket, "connect")));
  assert.equal(await ask(held[0]!), "HTTP/1.1 200 OK");
  for (const port of [plain, secure]) {
    assert.equal(await ask(open("127.0.0.2", port)), null, "one too many");
  }
  const other = open("127.0.0.3", plain);
  assert.equal(await ask(other), "HTTP/1.1 200 OK");
  const through = Array.from({ length: SHARE * 3 }, () => open(PROXY, plain));
  const answers = await Promise.all(through.map(ask));
  assert.deepEqual(new Set(answers), new Set(["HTTP/1.1 200 OK"]));
  await until(() => lines.some((line) => line.includes("127.0.0.2 has 3 connections")));
  held[2]!.destroy();
  await until(async () => {
    const again = open("127.0.0.2", plain);
    const answer = await ask(again);
    again.destroy();
    return answer === "HTTP/1.1 200 OK";
  });
  for (const socket of [...held, other, ...through]) socket.destroy();
});

test("an address has as many requests at once as connections, over HTTP/2 too; others have theirs", async () => {
  const waiting = `export default { fetch: ({ url }) =>
    url.endsWith("/wait") ? new Promise((done) => setTimeout(() => done(new Response("late")), 20_000)) : new Response("ok") };`;
  await edge.deploy(makeVersion("waits", waiting), { hosts: ["waits.example"] });
  const session = (localAddress: string): ClientHttp2Session =>
    connectHttp2("https://waits.example", {
      createConnection: () =>
        connectTls({
          socket: open(localAddress, Number(new URL(edge.edge.httpsUrl!).port)),
          servername: "waits.example",
          ALPNProtocols: ["h2"],
          rejectUnauthorized: false,
        }),
    }).on("error", () => {});
  const [greedy, other] = [session("127.0.0.4"), session("127.0.0.5")];
  assert.equal(await status(greedy), 200);
  const held = Array.from({ length: SHARE }, () => greedy.request({ ":path": "/wait" }));
  for (const stream of held) stream.on("error", () => {}).end();
  await until(async () => (await status(greedy)) === 429);
  assert.equal(await status(other), 200);
  held[0]!.close();
  await until(async () => (await status(greedy)) === 200);
  greedy.destroy();
  other.destroy();
});

async function status(of: ClientHttp2Session): Promise<unknown> {
  const [headers] = await once(of.request({ ":path": "/" }), "response");
  return (headers as Record<string, unknown>)[":status"];
}
