import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { Hono } from "hono";
import { pino } from "pino";
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
      unsafePlain: false,
      proxies: { trusted: [], header: "x-forwarded" },
      log: pino({ level: "silent" }),
      times: { head: 150, all: 300, check: 20 },
    });
    listener.serve(
      new Hono<never>().all("/", async (c) => c.text(String((await c.req.text()).length))) as never,
    );
    const socket = connect(listener.port, "127.0.0.1");
    let answer = "";
    socket.on("error", () => {}).on("data", (chunk) => (answer += String(chunk)));
    socket.write(head);
    const trickle = setInterval(() => socket.write(drip), 20);
    // It may be reset: what it sent last had not been read.
    await new Promise((resolve) => socket.once("close", resolve));
    clearInterval(trickle);
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/);
  });
}
