import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { InFlight } from "./in-flight.ts";
import { answerUnread, type Unread } from "./unread.ts";

/** A server whose requests `answer` has, and what it says of what is no request. */
async function serving(
  t: TestContext,
  answer: (inFlight: InFlight, server: Server) => void = () => {},
): Promise<{ told: Unread[]; dial: () => Socket; server: Server }> {
  const told: Unread[] = [];
  const inFlight = new InFlight();
  const server = createServer({ maxHeaderSize: 200 });
  server.on("request", (request, response) => inFlight.add(request, response));
  answer(inFlight, server);
  server.on("clientError", (error, socket) =>
    answerUnread(error, socket, inFlight, (why) => {
      told.push(why);
      return { status: 431, headers: { "x-why": why, connection: "close" }, body: "té" };
    }),
  );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const dial = (): Socket => {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    return socket;
  };
  return { told, dial, server };
}

async function read(client: Socket): Promise<string> {
  return Buffer.concat(await client.toArray()).toString();
}

test("what is no request is answered whole, with its reason, and the connection ends", async (t) => {
  const { told, dial } = await serving(t);
  for (const [bytes, why] of [
    ["NONSENSE\r\n\r\n", "malformed"],
    [`GET / HTTP/1.1\r\nx: ${"a".repeat(900)}\r\n\r\n`, "headers too large"],
  ] as const) {
    const client = dial();
    client.write(bytes);
    assert.equal(
      await read(client),
      `HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 3\r\nx-why: ${why}\r\n\r\nté`,
    );
    assert.equal(told.pop(), why);
  }
});

test("a head that does not come in its time is too late; a status without a phrase has one", async (t) => {
  const { client, socket } = await pair(t);
  const late = Object.assign(new Error("late"), { code: "ERR_HTTP_REQUEST_TIMEOUT" });
  assert.deepEqual(tell(late, socket), ["too late"]);
  assert.equal(
    await read(client),
    "HTTP/1.1 599 Failed\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
  );
});

test("a parser that has failed fails again at each byte: it is answered once", async (t) => {
  const { told, dial, server } = await serving(t);
  const client = dial();
  client.write("NONSENSE\r\n\r\n");
  const [error, socket] = await once(server, "clientError");
  server.emit("clientError", error, socket);
  assert.equal((await read(client)).match(/HTTP\/1\.1/g)?.length, 1);
  assert.equal(told.length, 1);
});

test("a client that has gone is sent nothing", async (t) => {
  const [gone, ended] = [await pair(t), await pair(t)];
  for (const { socket } of [gone, ended]) socket.on("error", () => {});
  ended.socket.end();
  const reset = Object.assign(new Error("gone"), { code: "ECONNRESET" });
  assert.deepEqual([...tell(reset, gone.socket), ...tell(new Error("x"), ended.socket)], []);
  assert.deepEqual([gone.socket.destroyed, ended.socket.destroyed], [true, true]);
});

test("what was asked before on the same connection is answered first, and nothing after it", async (t) => {
  const { told, dial } = await serving(t, (_, server) => {
    server.on("request", (_request, response) => {
      server.once("clientError", () => response.end("the first"));
    });
  });
  const client = dial();
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\nNONSENSE\r\n\r\n");
  const text = await read(client);
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n.*Connection: close\r\n.*the first$/s);
  assert.deepEqual(told, []);
});

test("a request with a malformed body gets an answer that says so, or is cut if its answer has begun", async (t) => {
  let begins = false;
  const { told, dial } = await serving(t, (_, server) => {
    server.on("request", (_request, response) => {
      if (begins) response.writeHead(200).write("half");
    });
  });
  const chunked =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n";
  const one = dial();
  one.write(chunked);
  assert.match(await read(one), /^HTTP\/1\.1 431/);
  assert.deepEqual(told.splice(0), ["malformed"]);
  begins = true;
  const other = dial();
  other.write(chunked);
  assert.doesNotMatch(await read(other), /431|\r\n0\r\n/);
  assert.deepEqual(told, []);
});

test("bytes that the client still sends are dropped for two seconds, then its connection is cut", async (t) => {
  const { socket } = await pair(t);
  t.mock.timers.enable({ apis: ["setTimeout"] });
  tell(new Error("x"), socket);
  t.mock.timers.tick(1_999);
  assert.equal(socket.destroyed, false, "the answer would be lost");
  t.mock.timers.tick(1);
  assert.equal(socket.destroyed, true);
});

/** Both ends of a connection that no parser reads. */
async function pair(t: TestContext): Promise<{ client: Socket; socket: Socket }> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [Socket];
  server.close();
  t.after(() => {
    client.destroy();
    socket.destroy();
  });
  return { client, socket };
}

/** What is said of an error that no parser has made. */
function tell(error: Error, socket: Socket): Unread[] {
  const told: Unread[] = [];
  answerUnread(error, socket, new InFlight(), (why) => {
    told.push(why);
    return { status: 599, headers: {}, body: "" };
  });
  return told;
}
