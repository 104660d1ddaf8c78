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

test("a server that ended before both were joined is told as one that ends right after", async () => {
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

test("what a driver says while it is told why is dropped, and then its connection is closed", async () => {
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
