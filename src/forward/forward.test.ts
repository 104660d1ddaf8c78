import assert from "node:assert/strict";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import {
  connect,
  createServer as createTcpServer,
  type Server as TcpServer,
  type Socket,
} from "node:net";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { Pool } from "undici";
import { WebSocket, WebSocketServer } from "ws";
import { until } from "../../test/helpers/until.ts";
import { listening } from "../../test/helpers/listening.ts";
import { forward, forwardUpgrade, type ForwardTarget } from "./forward.ts";

test("method, path, headers, body, status and response headers arrive as they were", async (t) => {
  const origin = await listen(t, (request, response) => {
    response.writeHead(201, "Made", [
      ["set-cookie", "a=1"],
      ["set-cookie", "b=2"],
    ]);
    request.pipe(response);
  });
  const { url } = await proxy(t, origin);
  const response = await fetch(`${url}/path?query=1`, { method: "PUT", body: "hello" });
  assert.equal(response.status, 201);
  assert.equal(response.statusText, "Made");
  assert.deepEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  assert.equal(await response.text(), "hello");
});

test("hop-by-hop headers stay, those that Connection names too, framing never", async (t) => {
  let seen: Record<string, unknown> = {};
  const origin = await listen(t, (request, response) => {
    seen = request.headers;
    response.setHeader("connection", "keep-alive, x-hop");
    response.setHeader("x-hop", "1");
    response.setHeader("x-end", "1");
    request.resume().on("end", () => response.end("ok"));
  });
  const { port } = await proxy(t, origin);
  const answer = await exchange(
    port,
    "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: close, X-Secret, Content-Length\r\n" +
      "X-Secret: 1\r\nX-Kept: 1\r\nTE: trailers\r\nProxy-Authorization: x\r\nContent-Length: 2\r\n\r\nhi",
  );
  assert.match(answer, /^HTTP\/1\.1 200/);
  assert.match(answer, /x-end: 1/);
  assert.doesNotMatch(answer, /x-hop/);
  assert.deepEqual(
    [seen["x-secret"], seen["te"], seen["proxy-authorization"], seen["x-kept"], seen["host"]],
    [undefined, undefined, undefined, "1", "a.example"],
  );
  assert.equal(seen["content-length"], "2");
});

test("HEAD, 204 and 304 have no body, 103 is dropped, trailers too", async (t) => {
  const origin = await listen(t, (request, response) => {
    if (request.url === "/204" || request.url === "/304") {
      response.writeHead(Number(request.url.slice(1))).end();
    } else if (request.url === "/103") {
      response.writeEarlyHints({ link: "</a>; rel=preload" });
      response.end("late");
    } else if (request.url === "/trailers") {
      response.writeHead(200, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": "1" });
      response.end();
    } else response.writeHead(200, { "content-length": "5" }).end("hello");
  });
  const { url, port } = await proxy(t, origin);
  const head = await fetch(url, { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), "5");
  assert.equal(await head.text(), "");
  for (const status of [204, 304]) {
    const response = await fetch(`${url}/${status}`);
    assert.equal(response.status, status);
    assert.equal(await response.text(), "");
  }
  const hinted = await exchange(port, "GET /103 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert.match(hinted, /^HTTP\/1\.1 200 OK/);
  const trailed = await exchange(
    port,
    "GET /trailers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
  );
  assert.doesNotMatch(trailed, /x-sum|railer:/);
});

test("a response's head does not wait for its body", async (t) => {
  const origin = await listen(t, (_, response) => {
    response.flushHeaders();
    t.after(() => response.end());
  });
  const { url } = await proxy(t, origin);
  const response = await fetch(url);
  assert.equal(response.status, 200);
  await response.body!.cancel();
});

test("a truncated body never ends cleanly", async (t) => {
  const origin = await listen(t, (_, response) => {
    response.write("half", () => response.socket!.destroy());
  });
  const { url } = await proxy(t, origin);
  const response = await fetch(url);
  await assert.rejects(response.text());
});

test("a client that goes away cancels the request at the origin", async (t) => {
  const aborted = Promise.withResolvers<void>();
  const origin = await listen(t, (_, response) => {
    response.write("first");
    response.on("close", () => aborted.resolve());
  });
  const { url } = await proxy(t, origin);
  const abort = new AbortController();
  const response = await fetch(url, { signal: abort.signal });
  await response.body!.getReader().read();
  abort.abort();
  await aborted.promise;
});

test("a client that breaks off its upload breaks off the origin's request", async (t) => {
  const ended = Promise.withResolvers<boolean>();
  const origin = await listen(t, (request) => {
    request.resume();
    request.on("error", () => {}).on("close", () => ended.resolve(request.complete));
    request.on("data", () => client.destroy());
  });
  const { port } = await proxy(t, origin);
  const client = httpRequest({ port, method: "POST" }).on("error", () => {});
  client.write("half");
  assert.equal(await ended.promise, false);
});

test("an answer before the upload ends gets out, and the upload is cut", async (t) => {
  const origin = await listen(t, (_, response) => response.writeHead(413).end("too much"));
  const { port } = await proxy(t, origin);
  const client = httpRequest({ port, method: "POST" });
  const closed = Promise.withResolvers<void>();
  client.on("error", () => {}).on("close", () => closed.resolve());
  // Only what is set from here on: the time that a client has to see the answer.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const pump = setInterval(() => client.write(Buffer.alloc(65_536)), 1);
  t.after(() => clearInterval(pump));
  const [response] = await once(client, "response");
  assert.equal(response.statusCode, 413);
  response.setEncoding("utf8");
  assert.equal((await response.toArray()).join(""), "too much");
  t.mock.timers.tick(1_999);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.destroyed, false, "it may still send for a moment");
  t.mock.timers.tick(1);
  await closed.promise;
});

test("100-continue is sent once the origin's connection asks for the body", async (t) => {
  const origin = await listen(t, (request, response) => request.pipe(response));
  const { port } = await proxy(t, origin);
  const client = httpRequest({ port, method: "POST", headers: { expect: "100-continue" } });
  client.flushHeaders();
  await once(client, "continue");
  client.end("body");
  const [response] = await once(client, "response");
  response.setEncoding("utf8");
  assert.equal((await response.toArray()).join(""), "body");
});

test("a client that waits to send gets the failure, and is never told to continue", async (t) => {
  const { port, failures } = await proxy(t, 1);
  const client = httpRequest({ port, method: "POST", headers: { expect: "100-continue" } });
  client.flushHeaders();
  client.on("continue", () => assert.fail("told to continue"));
  const [response] = await once(client, "response");
  assert.equal(response.statusCode, 502);
  assert.equal(response.headers.connection, "close", "it may send its body or not");
  assert.equal(failures.length, 1);
  client.destroy();
});

for (const method of ["GET", "POST"]) {
  test(`${method} is sent once when the connection closes without an answer`, async (t) => {
    let requests = 0;
    const server = closing(() => (requests += 1));
    const { url } = await proxy(t, await listening(t, server));
    const response = await fetch(url, { method });
    assert.equal(response.status, 502);
    assert.equal(requests, 1);
  });
}

test("what the target says was not processed is sent again, a bounded number of times", async (t) => {
  let requests = 0;
  const server = closing(() => (requests += 1));
  const { url } = await proxy(t, await listening(t, server), { mayRetry: () => true });
  assert.equal((await fetch(url)).status, 502);
  assert.equal(requests, 9);
});

for (const [size, sent] of [
  [1_000, 3],
  [1_000_000, 1],
] as const) {
  test(`an upload of ${size} bytes is sent ${sent} times: whole, as long as all of it is kept`, async (t) => {
    let requests = 0;
    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      requests += 1;
      const body = Buffer.concat(await request.toArray());
      if (requests < 3) request.socket.destroy();
      else response.end(String(body.equals(upload)));
    };
    const origin = await listen(t, (request, response) => void answer(request, response));
    const upload = Buffer.alloc(size, "upload ");
    const { url } = await proxy(t, origin, { mayRetry: () => true });
    const response = await fetch(url, { method: "POST", body: upload });
    assert.equal(requests, sent);
    assert.deepEqual(
      [response.status, await response.text()],
      sent === 3 ? [200, "true"] : [502, ""],
    );
  });
}

test("an upload that its client breaks off never reaches the origin as a whole one", async (t) => {
  for (const framing of ["Content-Length: 1000", "Transfer-Encoding: chunked"]) {
    const ends: boolean[] = [];
    const begun = Promise.withResolvers<void>();
    const origin = await listen(t, (request) => {
      request.on("error", () => {}).once("data", () => begun.resolve());
      request.on("close", () => ends.push(request.complete)).resume();
    });
    const { port } = await proxy(t, origin, { mayRetry: () => true });
    const client = connect(port, "127.0.0.1");
    client.write(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n5\r\nhello\r\n`);
    await begun.promise;
    client.destroy();
    for (let i = 0; ends.length === 0 && i < 200; i += 1) await stable(() => ends.length);
    assert.deepEqual(ends, [false], framing);
  }
});

test("back-pressure: an origin is not read faster than its client reads", async (t) => {
  let written = 0;
  const origin = await listen(t, (_, response) => {
    const more = (): void => {
      while (written < 512 * 65_536) {
        written += 65_536;
        if (!response.write(Buffer.alloc(65_536))) {
          response.once("drain", more);
          return;
        }
      }
      response.end();
    };
    more();
  });
  const { port } = await proxy(t, origin);
  const client = connect(port, "127.0.0.1");
  t.after(() => client.destroy());
  client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await once(client, "readable");
  await stable(() => written);
  assert.ok(written < 512 * 65_536, `${written} bytes left the origin though nobody read them`);
  let received = 0;
  client.on("data", (chunk) => (received += chunk.length));
  await once(client, "end");
  assert.ok(received > 512 * 65_536);
});

test("a WebSocket is forwarded, and a refused one gets the origin's answer", async (t) => {
  const origin = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  origin.on("upgrade", (request, socket, head) => {
    if (request.url === "/no") {
      socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    } else {
      sockets.handleUpgrade(request, socket, head, (client) => {
        client.on("message", (data, binary) => client.send(data, { binary }));
      });
    }
  });
  const { port: at } = await proxy(t, await listening(t, origin));
  const client = new WebSocket(`ws://127.0.0.1:${at}/yes`);
  await once(client, "open");
  client.send("hello");
  assert.equal(String((await once(client, "message"))[0]), "hello");
  client.close();
  await once(client, "close");
  const refused = new WebSocket(`ws://127.0.0.1:${at}/no`);
  const [, response] = await once(refused, "unexpected-response");
  assert.equal(response.statusCode, 403);
  response.setEncoding("utf8");
  assert.equal((await response.toArray()).join(""), "no");
});

for (const [how, leave] of [
  ["closes its connection", (client: Socket) => client.end()],
  ["breaks its connection off", (client: Socket) => client.resetAndDestroy()],
] as const) {
  test(`a client that ${how} before an upgrade is answered ends it at the origin`, async (t) => {
    const origin = createServer();
    let asked = false;
    let closed = false;
    origin.on("upgrade", (_, socket) => {
      asked = true;
      // Only what is read is seen to close.
      socket.on("error", () => {}).resume();
      socket.once("close", () => (closed = true)).once("end", () => socket.destroy());
    });
    const { port: at, failures } = await proxy(t, await listening(t, origin));
    const client = connect(at, "127.0.0.1").on("error", () => {});
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: odd\r\n\r\n");
    await until(() => asked);
    leave(client);
    await until(() => closed);
    assert.deepEqual(failures, []);
  });
}

test("what a client sends right after its upgrade waits for the origin, and arrives", async (t) => {
  const origin = createServer();
  let answer: (() => void) | null = null;
  let seen = "";
  origin.on("upgrade", (_, socket, head) => {
    seen += String(head);
    socket.on("data", (chunk) => (seen += String(chunk))).on("error", () => {});
    answer = () =>
      void socket.write("HTTP/1.1 101 Go\r\nconnection: upgrade\r\nupgrade: odd\r\n\r\n");
  });
  const { port: at } = await proxy(t, await listening(t, origin));
  const client = connect(at, "127.0.0.1").on("error", () => {});
  client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: odd\r\n\r\nearly,");
  await until(() => answer !== null);
  client.write("later");
  answer!();
  await until(() => seen === "early,later");
  client.destroy();
});

async function listen(t: TestContext, handler: RequestListener): Promise<number> {
  return listening(t, createServer(handler));
}

/** Reads a request and closes the connection. */
function closing(seen: () => void): TcpServer {
  return createTcpServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      seen();
      socket.destroy();
    });
  });
}

async function proxy(
  t: TestContext,
  origin: number,
  options: Pick<ForwardTarget, "mayRetry"> = {},
): Promise<{ url: string; port: number; failures: Error[] }> {
  const failures: Error[] = [];
  const dispatcher = new Pool(`http://127.0.0.1:${origin}`);
  const target = (path: string, expectsContinue = false): ForwardTarget => ({
    dispatcher,
    path,
    expectsContinue,
    ...options,
    failed: (error, _, response) => {
      failures.push(error);
      response.writeHead(502).end();
    },
  });
  const server = createServer((request, response) => {
    forward(request, response, target(request.url!));
  });
  server.on("checkContinue", (request, response) => {
    forward(request, response, target(request.url!, true));
  });
  server.on("upgrade", (request, socket, head) => {
    forwardUpgrade(request, socket, head, target(request.url!));
  });
  const at = await listening(t, server);
  t.after(() => dispatcher.destroy());
  return { url: `http://127.0.0.1:${at}`, port: at, failures };
}

/** Sends bytes as they are and returns all that comes back. */
async function exchange(at: number, text: string): Promise<string> {
  const socket = connect(at, "127.0.0.1");
  socket.write(text);
  const chunks: Buffer[] = await socket.toArray();
  return Buffer.concat(chunks).toString("latin1");
}

/** Resolves when a value has not changed over many turns of the event loop. */
async function stable(read: () => number): Promise<void> {
  let last = read();
  for (let same = 0; same < 5; same = read() === last ? same + 1 : 0) {
    last = read();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
