import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { join } from "./join.ts";

const told = Buffer.from("why it ends");

interface Ends {
  /** The Worker's end of its connection. */
  readonly worker: Duplex;
  readonly client: Duplex;
  readonly upstream: Duplex;
  readonly server: Duplex;
}

function ends(): Ends {
  const [worker, client] = duplexPair({ allowHalfOpen: true });
  const [upstream, server] = duplexPair({ allowHalfOpen: true });
  for (const end of [worker, server]) end.on("error", () => {});
  return { worker, client, upstream, server };
}

async function all(end: Duplex): Promise<string> {
  let text = "";
  for await (const chunk of end.iterator({ destroyOnReturn: false })) text += String(chunk);
  return text;
}

test("a server that ended before both were joined is reported like one that ends right after", async () => {
  for (const isEarly of [true, false]) {
    const { worker, client, upstream, server } = ends();
    server.end();
    if (isEarly) await once(upstream.resume(), "end");
    join(client, upstream, { failed: () => null, silent: () => told });
    worker.write("the driver's first words");
    assert.equal(await all(worker), "why it ends", String(isEarly));
    assert.ok(upstream.destroyed);
    worker.destroy();
  }
});

test("bytes that a driver sends while it gets the reason are dropped, and then its connection is closed", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { worker, client, upstream } = ends();
  join(client, upstream, { failed: () => told, silent: () => null });
  upstream.destroy(new Error("reset"));
  worker.write("meanwhile");
  assert.equal(await all(worker), "why it ends");
  const closed = once(client, "close");
  worker.end();
  await closed;
});

test("a server that ends without a word may still be spoken to, where nothing tells why", async () => {
  const { worker, client, upstream, server } = ends();
  join(client, upstream, { failed: () => null, silent: () => null });
  server.end();
  assert.equal(await all(worker), "");
  worker.end("still heard");
  assert.equal(await all(server), "still heard");
});

test("bytes go both ways, and each side may end its own first", async () => {
  const { worker, client, upstream, server } = ends();
  join(client, upstream, { failed: assert.fail, silent: assert.fail });
  worker.write("hello");
  assert.equal(String((await once(server, "data"))[0]), "hello");
  server.write("hi");
  assert.equal(String((await once(worker, "data"))[0]), "hi");
  worker.end("bye");
  assert.equal(await all(server), "bye");
  server.end("bye");
  assert.equal(await all(worker), "bye");
});

test("a server that fails after it has answered is reported as such", async () => {
  for (const speaks of [false, true]) {
    const { worker, client, upstream, server } = ends();
    const seen: unknown[] = [];
    const reset = new Error("reset");
    const failed = (...args: unknown[]): null => (seen.push(args), null);
    join(client, upstream, { failed, silent: assert.fail });
    if (speaks) {
      server.write("hi");
      await once(worker, "data");
    }
    upstream.destroy(reset);
    await turn();
    assert.ok(client.destroyed, "nothing is told");
    assert.deepEqual(seen, [[reset, speaks]]);
  }
});

test("a server that was gone before both were joined is reported by its own failure", async () => {
  const reset = new Error("reset");
  for (const error of [undefined, reset]) {
    const { worker, client, upstream } = ends();
    const gone = once(
      upstream.on("error", () => {}),
      "close",
    );
    upstream.destroy(error);
    await gone.catch(() => {});
    const seen: unknown[] = [];
    const failed = (...args: unknown[]): Buffer => (seen.push(args), told);
    const silent = (): Buffer => (seen.push("silent"), told);
    join(client, upstream, { failed, silent });
    assert.equal(await all(worker), "why it ends");
    assert.deepEqual(seen, error === undefined ? ["silent"] : [[reset, false]]);
    worker.destroy();
  }
});

test("a Worker that goes away, then or later, ends the server's connection and is sent nothing", async () => {
  for (const when of ["before", "after"]) {
    const { client, upstream } = ends();
    if (when === "before") client.destroy();
    join(client, upstream, { failed: assert.fail, silent: assert.fail });
    if (when === "after") {
      client.destroy(new Error("reset"));
      await turn();
    }
    assert.ok(upstream.destroyed);
  }
});

test("a server that ends after it has spoken, or after the Worker has ended, is not told as silent", async () => {
  const { worker, client, upstream, server } = ends();
  join(client, upstream, { failed: assert.fail, silent: assert.fail });
  worker.end();
  await all(server);
  server.end();
  assert.equal(await all(worker), "");
  const other = ends();
  join(other.client, other.upstream, { failed: assert.fail, silent: assert.fail });
  other.server.end("spoken");
  assert.equal(await all(other.worker), "spoken");
});

test("who does not read why its connection ends is cut after a second", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { client, upstream } = ends();
  join(client, upstream, { failed: () => told, silent: assert.fail });
  upstream.destroy(new Error("reset"));
  await turn();
  t.mock.timers.tick(999);
  assert.ok(!client.destroyed);
  t.mock.timers.tick(1);
  assert.ok(client.destroyed);
});

test("a server that is cut takes the Worker with it; what came to its end before is written to its end", async () => {
  const cut = ends();
  join(cut.client, cut.upstream, { failed: assert.fail, silent: assert.fail });
  cut.server.write("spoken");
  await once(cut.worker, "data");
  cut.upstream.destroy();
  await turn();
  assert.ok(cut.client.destroyed);
  const whole = ends();
  join(whole.client, whole.upstream, { failed: assert.fail, silent: assert.fail });
  whole.server.end("spoken");
  await once(whole.upstream, "end");
  whole.upstream.destroy();
  assert.equal(await all(whole.worker), "spoken");
  assert.ok(whole.client.writableFinished);
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
