import assert from "node:assert/strict";
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type ClientRequest,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import { createServer as createTcpServer, type Server } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { Pool } from "undici";
import { forward } from "./forward.ts";
import { listening } from "../../test/helpers/listening.ts";
import { Patience, type PatienceLimits } from "./patience.ts";

/** ms */
const LIMIT = 200;

test("a client that is slow with its upload is waited for, and not taken for a silent origin", async (t) => {
  const { send, codes } = await proxied(t, (request, response) => {
    void textOf(request).then((sent) => response.end(sent));
  });
  const request = send("POST");
  for (const part of ["slowly", " ", "sent"]) {
    request.write(part);
    await delay(LIMIT * 1.5);
  }
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(await textOf(response), "slowly sent");
  assert.deepEqual(codes, []);
});

test("an origin that does not read the upload is silent", async (t) => {
  const origin = createTcpServer((socket) => void socket.pause().on("error", () => {}));
  const { send, codes } = await proxiedTo(t, origin);
  const request = send("POST");
  request.end(Buffer.alloc(16 * 1024 * 1024));
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(response.statusCode, 504);
  assert.deepEqual(codes, ["UND_ERR_HEADERS_TIMEOUT"]);
});

test("a client that is slow to read does not make its origin late", async (t) => {
  const size = 16 * 1024 * 1024;
  const { send, codes } = await proxied(t, (_, response) => response.end(Buffer.alloc(size)));
  const request = send("GET").end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  await delay(LIMIT * 3);
  let got = 0;
  for await (const chunk of response) got += (chunk as Buffer).length;
  assert.equal(got, size);
  assert.deepEqual(codes, []);
});

test("an origin whose body comes slowly, but comes, is not late", async (t) => {
  const { send, codes } = await proxied(t, (_, response) => {
    let left = 6;
    const timer = setInterval(() => {
      response.write("x");
      left -= 1;
      if (left > 0) return;
      clearInterval(timer);
      response.end();
    }, LIMIT / 2);
  });
  const request = send("GET").end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  assert.equal(await textOf(response), "xxxxxx");
  assert.deepEqual(codes, []);
});

test("a request that gets no connection in time is told, and never sent", async (t) => {
  let came = 0;
  let first: ServerResponse | null = null;
  const origin = createServer((_, response) => {
    came += 1;
    response.writeHead(200).flushHeaders();
    first ??= response;
  });
  const { send, codes } = await proxiedTo(t, origin, {
    headers: 60_000,
    body: 60_000,
    turn: LIMIT,
  });
  const [taken] = (await once(send("GET").end(), "response")) as [IncomingMessage];
  const late = send("POST");
  late.end("a body");
  const [refused] = (await once(late, "response")) as [IncomingMessage];
  assert.equal(refused.statusCode, 504);
  assert.deepEqual(codes, ["NO_TURN"]);
  first!.end("done");
  assert.equal(await textOf(taken), "done");
  const [next] = (await once(send("GET").end(), "response")) as [IncomingMessage];
  assert.equal(next.statusCode, 200);
  assert.equal(came, 2);
  next.destroy();
});

interface Proxied {
  send(this: void, method: string): ClientRequest;
  /** Of failures. */
  readonly codes: unknown[];
}

function proxied(t: TestContext, answer: RequestListener): Promise<Proxied> {
  return proxiedTo(t, createServer(answer));
}

async function proxiedTo(
  t: TestContext,
  origin: Server,
  limits: PatienceLimits = { headers: LIMIT, body: LIMIT },
): Promise<Proxied> {
  const pool = new Pool(`http://127.0.0.1:${await listening(t, origin)}`, {
    headersTimeout: 0,
    bodyTimeout: 0,
    connections: 1,
  });
  const patience = new Patience(limits);
  const codes: unknown[] = [];
  const server = createServer((request, response) => {
    forward(request, response, {
      dispatcher: pool,
      path: request.url!,
      patience,
      failed: (error, _, answer) => {
        codes.push((error as NodeJS.ErrnoException).code);
        answer.writeHead(504).end();
      },
    });
  });
  const port = await listening(t, server);
  t.after(() => pool.destroy());
  const send = (method: string): ClientRequest => {
    const request = httpRequest({ port, method, agent: false });
    return request.on("error", () => {});
  };
  return { send, codes };
}
