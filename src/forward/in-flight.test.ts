import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { InFlight } from "./in-flight.ts";

interface Asked {
  readonly client: Socket;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A server that answers nothing by itself, and all that it works on. */
async function working(t: TestContext): Promise<{ inFlight: InFlight; ask: () => Promise<Asked> }> {
  const inFlight = new InFlight();
  const server = createServer((request, response) => inFlight.add(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  return {
    inFlight,
    async ask() {
      const client = connect(port, "127.0.0.1");
      t.after(() => client.destroy());
      client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const [request, response] = await once(server, "request");
      return { client, request, response };
    },
  };
}

async function read(client: Socket): Promise<string> {
  return Buffer.concat(await client.toArray()).toString();
}

test("what a connection waits for is found by its socket, until it is answered", async (t) => {
  const { inFlight, ask } = await working(t);
  const [one, other] = [await ask(), await ask()];
  const socket = one.response.socket!;
  assert.deepEqual(inFlight.on(socket), { request: one.request, response: one.response });
  assert.equal(inFlight.on(other.response.socket!)?.response, other.response);
  assert.equal(inFlight.on(one.client), null);
  one.response.end("done");
  await once(one.response, "close");
  assert.equal(inFlight.on(socket), null);
});

test("at the end each without an answer gets one, and its connection closes", async (t) => {
  const { inFlight, ask } = await working(t);
  const { client, request } = await ask();
  inFlight.end((asked, response) => {
    assert.equal(asked, request);
    response.writeHead(503).end("going");
  });
  const text = await read(client);
  assert.match(text, /^HTTP\/1\.1 503 .*\r\nConnection: close\r\n/s);
  assert.match(text, /going/);
});

test("one whose answer has begun is cut at the end: a truncated body never ends cleanly", async (t) => {
  const { inFlight, ask } = await working(t);
  const { client, response } = await ask();
  response.writeHead(200).write("half");
  let answers = 0;
  inFlight.end(() => (answers += 1));
  assert.doesNotMatch(await read(client), /\r\n0\r\n/);
  assert.equal(answers, 0, "it has one");
});

test("who has gone, whichever of all it was, is not answered at the end", async (t) => {
  for (const gone of [0, 1, 2]) {
    const { inFlight, ask } = await working(t);
    const all = [await ask(), await ask(), await ask()];
    const { client, response } = all[gone]!;
    client.destroy();
    await once(response, "close");
    const told: ServerResponse[] = [];
    inFlight.end((_, one) => {
      told.push(one);
      one.end();
    });
    const staying = all.filter((one) => one.client !== client).map((one) => one.response);
    assert.deepEqual(new Set(told), new Set(staying));
    assert.equal(told.length, 2);
  }
});

test("a request that cannot be answered is cut, and the others are answered", async (t) => {
  const { inFlight, ask } = await working(t);
  const [one, other] = [await ask(), await ask()];
  inFlight.end((_, response) => {
    if (response === one.response) throw new Error("no answer");
    response.end("answered");
  });
  assert.equal(await read(one.client), "");
  assert.match(await read(other.client), /answered/);
});

test("of many, those that end in any order are gone, and the others are found", async (t) => {
  const { inFlight, ask } = await working(t);
  const all: Asked[] = [];
  for (let i = 0; i < 6; i += 1) all.push(await ask());
  const sockets = all.map(({ response }) => response.socket!);
  for (const gone of [2, 0, 5, 4]) {
    const { response } = all[gone]!;
    response.end();
    await once(response, "close");
    all[gone] = undefined as never;
    const found = sockets.map((socket) => inFlight.on(socket)?.response);
    assert.deepEqual(
      found,
      all.map((one) => one?.response),
    );
  }
});
