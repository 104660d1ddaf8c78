import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { Hono } from "hono";
import { pino } from "pino";
import { makeAuthority } from "../../test/helpers/pki.ts";
import { listenForApi } from "./api-listener.ts";

for (const [what, head, drip] of [
  ["the head", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "x"],
  ["the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", "x"],
] as const) {
  test(`an API call whose ${what.slice(4)} trickles in is cut off with its time`, async () => {
    await using listener = await listenForApi({
      host: "127.0.0.1",
      port: 0,
      tls: null,
      publicUrl: null,
      unsafePlain: false,
      proxies: { trusted: [], header: "x-forwarded" },
      log: pino({ level: "silent" }),
      times: { head: 150, all: 300, check: 20, stalled: 0 },
    });
    listener.serve(
      new Hono<never>().all("/", async (c) => c.text(String((await c.req.text()).length))) as never,
    );
    const socket = connect(listener.port, "127.0.0.1");
    let answer = "";
    socket.on("error", () => {}).on("data", (chunk) => (answer += String(chunk)));
    socket.write(head);
    const trickle = setInterval(() => socket.write(drip), 20);
    // The connection may be reset, because the server had not read the last bytes.
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(trickle);
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/);
  });
}

test("an end does not wait for connections that have not said whether they speak TLS", async (t) => {
  const authority = await makeAuthority();
  const { chain, key } = await authority.issue({ subject: "CN=api", dns: ["localhost"] });
  // Time stands still, so anything that waits for a time-out waits for ever.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const listener = await listenForApi({
    host: "127.0.0.1",
    port: 0,
    tls: { current: { cert: chain, key }, renews: () => {}, [Symbol.dispose]: () => {} },
    publicUrl: null,
    unsafePlain: false,
    proxies: { trusted: [], header: "x-forwarded" },
    log: pino({ level: "silent" }),
  });
  const silent = connect(listener.port, "127.0.0.1").on("error", () => {});
  await once(silent, "connect");
  const closed = once(silent.resume(), "close");
  await listener[Symbol.asyncDispose]();
  await closed;
});

for (const what of ["plain HTTP", "TLS"] as const) {
  test(`a client that reads nothing of an answer is cut, over ${what}`, async () => {
    const authority = await makeAuthority();
    const { chain, key } = await authority.issue({ subject: "CN=api", dns: ["localhost"] });
    const pair = { current: { cert: chain, key }, renews: () => {}, [Symbol.dispose]: () => {} };
    await using listener = await listenForApi({
      host: "127.0.0.1",
      port: 0,
      tls: what === "TLS" ? pair : null,
      publicUrl: null,
      unsafePlain: false,
      proxies: { trusted: [], header: "x-forwarded" },
      log: pino({ level: "silent" }),
      times: { head: 20_000, all: 20_000, check: 10_000, stalled: 200 },
    });
    const cancelled = Promise.withResolvers<void>();
    const endless = (): ReadableStream =>
      new ReadableStream({
        pull: (to) => to.enqueue(new Uint8Array(65_536)),
        cancel: cancelled.resolve,
      });
    listener.serve(new Hono<never>().get("/", () => new Response(endless())) as never);
    const at = { port: listener.port, host: "127.0.0.1" };
    const socket = what === "TLS" ? connectTls({ ...at, rejectUnauthorized: false }) : connect(at);
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await cancelled.promise;
    socket.destroy();
  });
}
