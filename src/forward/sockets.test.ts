import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { Duplex, PassThrough } from "node:stream";
import { test, type TestContext } from "node:test";
import { responseOn, splice } from "./sockets.ts";

test("the answer to an upgrade is a whole response, after which its connection ends", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
  const [request, socket] = (await once(server, "upgrade")) as [IncomingMessage, Socket];
  responseOn(socket, request).writeHead(403, { "content-length": 2 }).end("no");
  const text = String(Buffer.concat(await client.toArray()));
  assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n.*Connection: close\r\n\r\nno$/s);
});

test("an answer to an upgrade whose client breaks off is over, and throws nothing", async (t) => {
  const { far, near } = await pair(t);
  const response = responseOn(near, { method: "GET", headers: {} } as IncomingMessage);
  response.write("half");
  far.resetAndDestroy();
  await once(response, "close");
  assert.equal(response.destroyed, true);
});

test("the connection of an answer to an upgrade is closed, though its client does not close it", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { far, near } = await pair(t, true);
  const response = responseOn(near, { method: "GET", headers: {} } as IncomingMessage);
  response.writeHead(403, { "content-length": 2 }).end("no");
  await once(far.resume(), "end");
  assert.equal(near.destroyed, false);
  t.mock.timers.tick(2_000);
  assert.equal(near.destroyed, true);
});

test("two connections that are joined carry bytes both ways, to their last one", async (t) => {
  const [one, other] = [await pair(t, true), await pair(t, true)];
  splice(one.near, other.near);
  let length = 0;
  other.far.on("data", (chunk: Buffer) => (length += chunk.length));
  one.far.end("a".repeat(100_000));
  await once(other.far, "end");
  assert.equal(length, 100_000);
  other.far.end("answer");
  assert.equal(String(Buffer.concat(await one.far.toArray())), "answer");
});

test("what breaks off on one side breaks off on the other", async (t) => {
  for (const flipped of [false, true]) {
    const [one, other] = [await pair(t), await pair(t)];
    if (flipped) splice(other.near, one.near);
    else splice(one.near, other.near);
    one.far.resetAndDestroy();
    await closed(other.far);
    assert.deepEqual([one.near.destroyed, other.near.destroyed], [true, true]);
  }
});

test("one side that is destroyed without an error takes the other with it", async (t) => {
  const [one, other] = [await pair(t), await pair(t)];
  splice(one.near, other.near);
  one.near.destroy();
  await closed(other.far);
  assert.equal(other.near.destroyed, true);
});

test("what was read to its end is written to its end before the other side closes", async () => {
  for (const breaks of [false, true]) {
    const { slow, written, go } = slowWriter();
    const one = new PassThrough({ autoDestroy: false });
    splice(one, slow);
    one.write("first ");
    one.end("second");
    await once(one, "end");
    const gone = once(one, "close");
    // As where a server ends, and then answers what is still sent to it with a reset.
    one.destroy(breaks ? new Error("reset") : undefined);
    await gone.catch(() => {});
    assert.equal(slow.destroyed, false);
    const closes = once(slow, "close");
    go();
    assert.deepEqual(written, ["first ", "second"]);
    go();
    await closes;
    assert.equal(slow.writableFinished, true);
  }
});

test("what broke off waits for no slow reader", async () => {
  const { slow, written } = slowWriter();
  const one = new PassThrough();
  splice(one, slow);
  one.write("half");
  one.destroy();
  await once(slow, "close");
  assert.deepEqual([written, slow.writableFinished], [["half"], false]);
});

/** Takes each piece when it is told to `go` on. */
function slowWriter(): { slow: Duplex; written: string[]; go: () => void } {
  const written: string[] = [];
  let taken: () => void = assert.fail;
  const slow = new Duplex({
    read() {},
    write(chunk, _, done) {
      written.push(String(chunk));
      taken = done;
    },
  });
  return { slow, written, go: () => taken() };
}

async function pair(t: TestContext, allowHalfOpen = false): Promise<{ far: Socket; near: Socket }> {
  const server = createTcpServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const far = connect({ port, host: "127.0.0.1", allowHalfOpen });
  const [near] = (await once(server, "connection")) as [Socket];
  server.close();
  t.after(() => {
    far.destroy();
    near.destroy();
  });
  return { far, near };
}

function closed(socket: Socket): Promise<void> {
  socket.on("error", () => {}).resume();
  return new Promise((resolve) => socket.once("close", () => resolve()));
}
