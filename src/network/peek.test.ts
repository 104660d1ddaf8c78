import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { peek, type Peeked } from "./peek.ts";

interface Ends extends AsyncDisposable {
  readonly client: Socket;
  readonly server: Socket;
}

async function ends(): Promise<Ends> {
  // As Node's servers of HTTP are: an end of the client's is not yet one of the connection's.
  const listener = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const client = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  client.on("error", () => {});
  const [server] = (await once(listener, "connection")) as [Socket];
  return {
    client,
    server,
    async [Symbol.asyncDispose]() {
      client.destroy();
      server.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
}

/** A line, which may begin with `#` only for what is closed. */
function line(bytes: Buffer): Peeked<string> | "more" | "close" {
  const end = bytes.indexOf("\n");
  if (bytes[0] === 35) return "close";
  if (end === -1) return "more";
  return { found: bytes.toString("latin1", 0, end), rest: bytes.subarray(end + 1) };
}

test("what begins a connection is taken off, in however many pieces it comes", async () => {
  await using both = await ends();
  const before: Record<string, number> = {};
  for (const event of ["readable", "error", "end", "close"]) {
    before[event] = both.server.listenerCount(event);
  }
  const pieces: string[] = [];
  const first = Promise.withResolvers<void>();
  const read = (bytes: Buffer): Peeked<string> | "more" | "close" => {
    pieces.push(String(bytes));
    first.resolve();
    return line(bytes);
  };
  const found = new Promise<string>((resolve) => peek(both.server, read, resolve));
  both.client.write("he");
  await first.promise;
  both.client.write("llo\nrest");
  assert.equal(await found, "hello");
  assert.equal(String((await once(both.server, "data"))[0]), "rest");
  assert.deepEqual(pieces, ["he", "hello\nrest"]);
  for (const event of ["readable", "error", "end", "close"]) {
    assert.equal(both.server.listenerCount(event), before[event], event);
  }
});

test("a connection whose bytes were all read waits for more", async () => {
  await using both = await ends();
  const found = new Promise<string>((resolve) => peek(both.server, line, resolve));
  both.client.write("hello\n");
  assert.equal(await found, "hello");
  both.client.write("later");
  assert.equal(String((await once(both.server, "data"))[0]), "later");
});

const reset = (client: Socket): Socket => client.resetAndDestroy();

test("a connection that ends too early, or begins with refused bytes, is closed and not handed on", async () => {
  for (const act of [
    (client: Socket) => client.end("he"),
    (client: Socket) => client.end(),
    (client: Socket) => client.write("#"),
    reset,
  ]) {
    await using both = await ends();
    let handed = false;
    const listened = both.server.listenerCount("end");
    peek(both.server, line, () => (handed = true));
    const closed = new Promise((resolve) => both.server.once("close", resolve));
    act(both.client);
    await closed;
    assert.equal(handed, false);
    assert.ok(both.server.destroyed);
    assert.equal(both.server.listenerCount("end"), listened, "nothing of it is kept");
    if (act !== reset) assert.equal(both.server.errored, null, "nothing was thrown");
  }
});

test("a silent connection is closed after ten seconds, and not before", async (t) => {
  await using both = await ends();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  peek(both.server, line, assert.fail);
  t.mock.timers.tick(9_999);
  assert.ok(!both.server.destroyed);
  t.mock.timers.tick(1);
  assert.ok(both.server.destroyed);
});

test("a connection that has sent its header may be silent for any time", async (t) => {
  await using both = await ends();
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const found = new Promise<string>((resolve) => peek(both.server, line, resolve));
  both.client.write("hello\n");
  await found;
  t.mock.timers.tick(60_000);
  assert.ok(!both.server.destroyed);
});
