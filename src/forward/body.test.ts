import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { isBodyTooLarge, Upload } from "./body.ts";

interface Asked {
  readonly client: Socket;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** A request with a body in chunks, of which `client` sends what a test writes. */
async function asked(t: TestContext, head = "Transfer-Encoding: chunked"): Promise<Asked> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  t.after(() => client.destroy());
  client.on("error", () => {});
  client.write(`POST / HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n`);
  const event = head.includes("Expect") ? "checkContinue" : "request";
  const [request, response] = await once(server, event);
  request.on("error", () => {});
  return { client, request, response };
}

function send(client: Socket, piece: string): void {
  client.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
}

function end(client: Socket): void {
  client.write("0\r\n\r\n");
}

async function text(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return String(Buffer.concat(chunks));
}

test("a body is read as it comes, to its end", async (t) => {
  const { client, request } = await asked(t);
  const read = text(new Upload(request, null).read());
  send(client, "one ");
  send(client, "two");
  end(client);
  assert.equal(await read, "one two");
});

test("leave to send is given once a body is asked for, and once only", async (t) => {
  const { client, request, response } = await asked(
    t,
    "Transfer-Encoding: chunked\r\nExpect: 100-continue",
  );
  const upload = new Upload(request, response);
  let given = 0;
  const write = response.writeContinue.bind(response);
  response.writeContinue = () => {
    given += 1;
    write();
  };
  const body = upload.read();
  await turn();
  assert.equal(given, 0, "nobody has asked for it");
  const read = text(body);
  assert.match(String((await once(client, "data"))[0]), /^HTTP\/1\.1 100 /);
  send(client, "a");
  end(client);
  assert.equal(await read, "a");
  await text(upload.read());
  assert.equal(given, 1);
});

test("what failed is read again from its beginning, in the middle and after its end", async (t) => {
  const { client, request } = await asked(t);
  const upload = new Upload(request, null);
  const first = upload.read();
  send(client, "begin ");
  await once(first, "readable");
  first.destroy();
  await once(first, "close");
  const second = upload.read();
  send(client, "end");
  end(client);
  assert.equal(await text(second), "begin end");
  assert.equal(upload.isWhole, true);
  assert.equal(await text(upload.read()), "begin end");
});

test("nothing is read from the client while nobody reads the body", async (t) => {
  const { client, request } = await asked(t);
  const upload = new Upload(request, null);
  const first = upload.read();
  send(client, "begin");
  await once(first, "readable");
  first.destroy();
  await once(first, "close");
  assert.equal(request.isPaused(), true);
});

test("a body is kept up to 64 KiB and 16 pieces, and until it is forgotten", async (t) => {
  const cases: readonly (readonly [number, number, boolean])[] = [
    [1, 65_536, true],
    [1, 65_537, false],
    [2, 32_768, true],
    [16, 1, true],
    [17, 1, false],
  ];
  for (const [count, size, whole] of cases) {
    const { request } = await asked(t);
    const upload = new Upload(request, null);
    const body = upload.read();
    // The connection of the test ends before its body does.
    body.on("error", () => {}).resume();
    await turn();
    // As the parser hands them over: what comes over a socket may be split anywhere.
    for (let i = 0; i < count; i += 1) request.emit("data", Buffer.alloc(size, "x"));
    assert.equal(upload.isWhole, whole, `${count} of ${size}`);
    upload.forget();
    assert.equal(upload.isWhole, false);
  }
});

test("a body of the largest size is accepted, and a larger one fails as too large", async (t) => {
  for (const [most, fails] of [
    [0, false],
    [4, false],
    [3, true],
  ] as const) {
    const { client, request } = await asked(t);
    const read = text(new Upload(request, null, most).read());
    send(client, "ab");
    send(client, "cd");
    end(client);
    if (fails) {
      await assert.rejects(read, (error: Error) => {
        assert.match(error.message, /too large/);
        return isBodyTooLarge(error);
      });
    } else assert.equal(await read, "abcd");
  }
  assert.equal(isBodyTooLarge(new Error("other")), false);
});

test("an upload that its client breaks off fails, and is not whole", async (t) => {
  const { client, request } = await asked(t);
  const upload = new Upload(request, null);
  const read = text(upload.read());
  send(client, "half");
  client.destroy();
  await assert.rejects(read, { code: "ECONNRESET" });
  assert.equal(upload.isWhole, false);
});

test("a request that is over without an error, and not to its end, fails its body", async (t) => {
  const { request } = await asked(t);
  const upload = new Upload(request, null);
  const read = text(upload.read());
  await turn();
  request.emit("close");
  await assert.rejects(read, /closed its upload/);
});

test("a body that nobody reads any more is drained, so that the connection can be used again", async (t) => {
  const { client, request, response } = await asked(t);
  const upload = new Upload(request, null);
  const body = upload.read();
  send(client, "begin");
  await once(body, "readable");
  body.destroy();
  await once(body, "close");
  upload.release();
  send(client, "the rest");
  end(client);
  await once(request, "end");
  assert.equal(request.listenerCount("data"), 0, "nothing of it is kept");
  response.end("done");
  assert.match(String((await once(client, "data"))[0]), /keep-alive/);
});

test("a body that is still read when it is released is read on, and flows away once it is left", async (t) => {
  const { client, request } = await asked(t);
  const upload = new Upload(request, null);
  const body = upload.read();
  send(client, "begin");
  await once(body, "readable");
  upload.release();
  assert.equal(request.listenerCount("data"), 1);
  body.destroy();
  await once(body, "close");
  send(client, "the rest");
  end(client);
  await once(request, "end");
});

test("a body that nobody has asked for stays unread: its client may not send it at all", async (t) => {
  const { request } = await asked(t);
  const upload = new Upload(request, null);
  upload.read();
  upload.release();
  await turn();
  assert.equal(request.readableFlowing, null);
});

test("an attempt that is left late does not stop the one after it", async (t) => {
  const { client, request } = await asked(t);
  const upload = new Upload(request, null);
  const first = upload.read();
  send(client, "begin ");
  await once(first, "readable");
  const read = text(upload.read());
  first.destroy();
  await once(first, "close");
  send(client, "end");
  end(client);
  assert.equal(await read, "begin end");
});

test("a client is not read faster than its body is", async (t) => {
  const { client, request } = await asked(t);
  const body = new Upload(request, null).read();
  body.read(0);
  await turn();
  request.emit("data", Buffer.alloc(65_536));
  assert.equal(request.isPaused(), true);
  body.resume();
  end(client);
  await once(body, "end");
});
