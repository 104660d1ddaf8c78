import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
} from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { Transform } from "node:stream";
import { test, type TestContext } from "node:test";
import { Pool } from "undici";
import { isBodyTooLarge } from "./body.ts";
import { listening } from "../../test/helpers/listening.ts";
import { forward, forwardUpgrade, wasNeverSent, type ForwardTarget } from "./forward.ts";

/** How each exchange of a proxy ended: what `ended` or `failed` was told. */
type Ends = (Error | null)[];

test("the target says the host, what is added and what is left out", async (t) => {
  const seen: IncomingMessage[] = [];
  const origin = await serve(t, (request, response) => {
    seen.push(request);
    response.end();
  });
  for (const [host, expected] of [
    [undefined, "came.example"],
    ["other.example", "other.example"],
    [null, `127.0.0.1:${origin}`],
  ] as const) {
    const { send } = await proxy(t, origin, {
      host,
      added: ["x-added", "1", "x-added", "2"],
      dropped: new Set(["x-dropped"]),
    });
    await send({ headers: { host: "came.example", "x-dropped": "1", "x-kept": "1" } });
    const { headers } = seen.pop()!;
    assert.equal(headers.host, expected);
    assert.deepEqual(
      [headers["x-added"], headers["x-dropped"], headers["x-kept"]],
      ["1, 2", undefined, "1"],
    );
  }
});

test("a body has the most bytes that the target says", async (t) => {
  const origin = await serve(t, (request, response) => void request.pipe(response));
  const { send, ends } = await proxy(t, origin, { mostBody: 4 });
  assert.equal((await send({ method: "POST" }, "four")).text, "four");
  assert.equal((await send({ method: "POST" }, "fivee")).status, 502);
  assert.equal(ends[0], null);
  assert.ok(isBodyTooLarge(ends[1]!));
});

test("the target sees a response's head before it is sent, may change it, and hears of its end once", async (t) => {
  const origin = await serve(t, (_, response) =>
    response.writeHead(418, { "x-a": "1" }).end("tea"),
  );
  const answered: unknown[] = [];
  const { send, ends } = await proxy(t, origin, {
    answered: (status, headers, request) => {
      answered.push(status, request.url);
      headers.push("x-b", "2");
    },
  });
  const { status, headers, text } = await send({ path: "/pot" });
  assert.deepEqual([status, headers["x-a"], headers["x-b"], text], [418, "1", "2", "tea"]);
  assert.deepEqual(answered, [418, "/pot"]);
  assert.deepEqual(ends, [null]);
});

test("a body goes through the target's transformation, which is made once there is a body", async (t) => {
  const origin = await serve(t, (request, response) => {
    if (request.url === "/none") response.writeHead(204).end();
    else if (request.url === "/two") response.write("one ", () => response.end("two"));
    else response.end("broken");
  });
  let made = 0;
  const { send, ends } = await proxy(t, origin, {
    answered: (_status, headers) => {
      const length = headers.indexOf("content-length");
      if (length !== -1) headers.splice(length, 2);
      return () => {
        made += 1;
        return new Transform({
          transform: (chunk, _, done) => {
            if (String(chunk) === "broken") done(new Error("it cannot be read"));
            else done(null, String(chunk).toUpperCase());
          },
        });
      };
    },
  });
  assert.equal((await send({ path: "/none" })).status, 204);
  assert.equal(made, 0);
  assert.equal((await send({ path: "/two" })).text, "ONE TWO");
  assert.equal(made, 1);
  await assert.rejects(send({ path: "/broken" }), { code: "ECONNRESET" });
  assert.deepEqual(ends.slice(0, 2), [null, null]);
  assert.equal(ends[2]?.message, "it cannot be read");
});

test("a response that breaks off is reported as such, and so is a client that goes away", async (t) => {
  const begun = Promise.withResolvers<void>();
  const origin = await serve(t, (request, response) => {
    response.write("half", () => {
      if (request.url === "/breaks") response.socket!.destroy();
      else begun.resolve();
    });
  });
  const { send, ends, port } = await proxy(t, origin);
  await assert.rejects(send({ path: "/breaks" }), { code: "ECONNRESET" });
  assert.match(ends[0]!.message, /other side closed/);
  const client = httpRequest({ port, path: "/waits" }).on("error", () => {});
  client.end();
  await begun.promise;
  client.destroy();
  while (ends.length < 2) await new Promise((resolve) => setImmediate(resolve));
  assert.match(ends[1]!.message, /client closed/);
});

test("a retry is asked for with what has failed, and not once a response has begun", async (t) => {
  let requests = 0;
  const server = createTcpServer((socket) => {
    socket
      .on("error", () => {})
      .once("data", () => {
        requests += 1;
        if (requests === 3) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
        setImmediate(() => socket.destroy());
      });
  });
  const asked: unknown[] = [];
  const { send } = await proxy(t, await listening(t, server), {
    mayRetry: (_, attempt) => {
      asked.push(attempt);
      return true;
    },
  });
  await assert.rejects(send({}), { code: "ECONNRESET" });
  assert.deepEqual(asked, [
    { isSafe: true, hasBody: false, retries: 0 },
    { isSafe: true, hasBody: false, retries: 1 },
  ]);
});

for (const [method, isSafe] of [
  ["GET", true],
  ["HEAD", true],
  ["OPTIONS", true],
  ["TRACE", true],
  ["DELETE", false],
] as const) {
  test(`${method} ${isSafe ? "may" : "may not"} be processed twice, with a body nothing may`, async (t) => {
    const asked: unknown[] = [];
    const { send } = await proxy(t, 1, {
      mayRetry: (_, attempt) => {
        asked.push([attempt.isSafe, attempt.hasBody]);
        return false;
      },
    });
    assert.equal((await send({ method })).status, 502);
    if (method !== "TRACE") await send({ method, headers: { "content-length": "1" } }, "x");
    assert.deepEqual(
      asked,
      method === "TRACE"
        ? [[true, false]]
        : [
            [isSafe, false],
            [false, true],
          ],
    );
  });
}

test("a reason phrase is the origin's, unless it has what Node does not write", async (t) => {
  for (const [phrase, expected] of [
    ["Quite Good", "Quite Good"],
    ["", "OK"],
    ["a\u0001b", "OK"],
    ["caf\u00e9", "caf\u00e9"],
  ] as const) {
    const server = createTcpServer((socket) => {
      socket.once("data", () => {
        socket.end(`HTTP/1.1 200 ${phrase}\r\ncontent-length: 0\r\n\r\n`);
      });
    });
    const { port } = await proxy(t, await listening(t, server));
    const client = connect(port, "127.0.0.1");
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const text = Buffer.concat(await client.toArray()).toString("latin1");
    assert.equal(text.split("\r\n")[0], `HTTP/1.1 200 ${expected}`);
  }
});

test("a small body that came whole goes out with its head in one write", async (t) => {
  const origin = await serve(t, (_, response) => response.end("small"));
  const { port } = await proxy(t, origin);
  const client = connect(port, "127.0.0.1");
  t.after(() => client.destroy());
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const [first] = (await once(client, "data")) as [Buffer];
  assert.match(String(first), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nsmall$/s);
});

test("bytes that came with an upgrade go first, and its end is reported", async (t) => {
  const origin = createServer();
  origin.on("upgrade", (request, socket, head) => {
    socket.write(
      `HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\n\r\n`,
    );
    if (head.length > 0) socket.unshift(head);
    socket.once("data", (data) => socket.end(`got ${String(data)}`));
  });
  const { port, ends } = await proxy(t, await listening(t, origin));
  const client = connect(port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\nearly");
  const text = String(Buffer.concat(await client.toArray()));
  assert.match(text, /^HTTP\/1\.1 101 .*\r\n.*Connection: Upgrade\r\nupgrade: odd\r\n/is);
  assert.match(text, /got early$/);
  while (ends.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(ends, [null]);
});

test("what was never sent is a request without a body, to a connection that had closed", () => {
  const closed = Object.assign(new Error("write"), { code: "EPIPE" });
  const attempt = { isSafe: false, hasBody: false, retries: 0 };
  assert.equal(wasNeverSent(closed, attempt), true);
  assert.equal(wasNeverSent(closed, { ...attempt, hasBody: true }), false);
  assert.equal(wasNeverSent(new Error("read"), attempt), false);
});

async function serve(t: TestContext, handler: RequestListener): Promise<number> {
  return listening(t, createServer(handler));
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

interface Proxy {
  readonly port: number;
  readonly ends: Ends;
  readonly send: (options: object, body?: string) => Promise<Answer>;
}

/** A server that forwards all to one origin, as `said` says. */
async function proxy(
  t: TestContext,
  origin: number,
  said: Partial<ForwardTarget> = {},
): Promise<Proxy> {
  const ends: Ends = [];
  const dispatcher = new Pool(`http://127.0.0.1:${origin}`);
  t.after(() => dispatcher.destroy());
  const target = (path: string): ForwardTarget => ({
    dispatcher,
    path,
    failed: (error, _, response) => {
      ends.push(error);
      response.writeHead(502).end();
    },
    ended: (error) => void ends.push(error),
    ...said,
  });
  const server = createServer((request, response) =>
    forward(request, response, target(request.url!)),
  );
  server.on("upgrade", (request, socket, head) =>
    forwardUpgrade(request, socket, head, target(request.url!)),
  );
  const port = await listening(t, server);
  const send = async (options: object, body = ""): Promise<Answer> => {
    const request = httpRequest({ port, host: "127.0.0.1", agent: false, ...options });
    request.end(body === "" ? undefined : body);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    const text = (await response.setEncoding("utf8").toArray()).join("");
    return { status: response.statusCode, headers: response.headers, text };
  };
  return { port, ends, send };
}
