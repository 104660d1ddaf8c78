import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ask } from "../../test/helpers/gateway.ts";
import { BindingSocket, type Router } from "./binding.ts";
import { systemClock } from "./clock.ts";
import type { Route } from "./route.ts";

test("what is thrown for one request, socket or upgrade ends it with a code, and nothing else", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-binding-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const broken = new Proxy({} as Route, {
    get: () => {
      throw new TypeError("not thought of");
    },
  });
  const router: Router = {
    route: () => broken,
    release: () => {},
    traffic: { details: "public", answered: () => {}, failed: () => {} },
    clock: systemClock,
    tracing: () => null,
    stream: () => () => {},
  };
  const socketPath = join(folder, "s");
  const key = { accountId: "a", scriptName: "w", bindingName: "B", certificateId: "c" };
  const binding = new BindingSocket({ socketPath, ...key }, router);
  await binding.listen();
  for (let count = 0; count < 3; count += 1) {
    const answer = await ask(socketPath, "https://a.example/");
    assert.deepEqual([answer.status, answer.headers["countersign-failure"]], [500, "internal"]);
  }
  for (const head of [
    "CONNECT a.example:1 HTTP/1.1\r\n\r\n",
    "GET https://a.example/ HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
  ]) {
    const socket = connect(socketPath);
    socket.on("error", () => {});
    socket.write(head);
    socket.resume();
    await once(socket, "close");
  }
  await binding.close(0);
});
