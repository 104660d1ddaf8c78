import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { Answers } from "./answers.ts";
import type { Arrival } from "./elsewhere.ts";
import { Challenges } from "./challenges.ts";
import { Clients } from "./clients.ts";
import { Hosts } from "./tls/hosts.ts";
import { createHttpServer } from "./http-server.ts";
import { Zones } from "./zones.ts";
import { IngressObserver } from "./observe.ts";

function arrived({ socket }: { readonly socket: Socket }): Arrival {
  return { peer: socket.remoteAddress, tls: null };
}

async function serve(t: { after(end: () => void): void }): Promise<number> {
  const answers = new Answers({
    find: () => "host_unknown",
    hosts: new Hosts(),
    zones: new Zones(),
    clients: new Clients(),
    challenges: new Challenges(),
    howEnded: async () => "runs",
    observer: new IngressObserver(() => {}),
  });
  const server = createHttpServer(answers, arrived, { head: 150, check: 20 });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}

async function say(port: number, text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.write(text);
  return all(socket);
}

/** All that comes until the connection is closed, or reset. */
async function all(socket: Socket): Promise<string> {
  let text = "";
  socket.on("error", () => {}).on("data", (chunk) => (text += String(chunk)));
  await new Promise((resolve) => socket.once("close", resolve));
  return text;
}

test("a head that does not come in time is answered 408 with a code, and the connection closed", async (t) => {
  const port = await serve(t);
  const answer = await say(port, "GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ");
  assert.match(answer, /^HTTP\/1\.1 408 /);
  assert.match(answer, /connection: close/i);
  assert.match(answer, /request_timeout/);
});

test("a client that sends byte by byte is late all the same, and others are answered meanwhile", async (t) => {
  const port = await serve(t);
  const slow = connect(port, "127.0.0.1");
  const head = "GET / HTTP/1.1\r\nHost: a.example\r\nX-Long: and so on, for as long as it takes";
  let at = 0;
  const drip = setInterval(() => slow.write(head[at++ % head.length]!), 20);
  t.after(() => clearInterval(drip));
  const late = all(slow);
  assert.match(
    await say(port, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"),
    /^HTTP\/1\.1 404 /,
  );
  assert.match(await late, /^HTTP\/1\.1 408 /);
});

test("an idle connection is kept for longer than proxies keep theirs", async (t) => {
  const socket = connect(await serve(t), "127.0.0.1");
  t.after(() => socket.destroy());
  socket.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  const [head] = await once(socket, "data");
  assert.match(String(head), /^HTTP\/1\.1 404 [^]*\r\nkeep-alive: timeout=75\r\n/i);
});

test("what an answer throws ends its own connection, and no other", async (t) => {
  const broken = {
    answer: (_request: unknown, _response: ServerResponse) => {
      throw new TypeError("not thought of");
    },
    upgrade: () => {
      throw new TypeError("not thought of");
    },
    unread: () => {
      throw new TypeError("not thought of");
    },
  };
  const server = createHttpServer(broken as never, () => ({ peer: undefined, tls: null }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  for (const text of [
    "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: the-unknown\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
  ]) {
    assert.equal(await say(port, text), "", text);
  }
});
