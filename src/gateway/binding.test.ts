import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { Agent } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Dispatcher } from "undici";
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
    mostConnections: 1_024,
    askOthers: null,
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

function unused(): never {
  throw new Error("not used");
}

test("a binding has routes to 256 origins: the oldest without connections is let go", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-binding-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const released: string[] = [];
  const dispatcher = {
    dispatch: (_: unknown, handler: Dispatcher.DispatchHandler) => {
      const controller = {} as Dispatcher.DispatchController;
      handler.onRequestStart!(controller, null);
      handler.onResponseStart!(controller, 204, {});
      handler.onResponseEnd!(controller, {});
      return true;
    },
  };
  const routeTo = (origin: string): Route =>
    ({
      // The very first is in use.
      pool: { dispatcher, connections: origin === "https://o0.example" ? 1 : 0, scope: { origin } },
      traffic: { answered: () => {}, failed: () => {}, details: "public" },
      tracing: null,
      until: Infinity,
      encodings: null,
      used: true,
    }) as never;
  const socketPath = join(folder, "s");
  const key = { accountId: "a", scriptName: "w", bindingName: "B", certificateId: "c" };
  const binding = new BindingSocket(
    { socketPath, ...key },
    {
      route: routeTo,
      release: ({ pool }) => void released.push(pool.scope.origin),
      mostConnections: 1_024,
      askOthers: null,
      stream: unused,
      traffic: { details: "public", answered: () => {}, failed: () => {} },
      clock: systemClock,
      tracing: () => null,
    },
  );
  await binding.listen();
  const agent = new Agent({ keepAlive: true });
  for (let i = 0; i < 258; i += 1) {
    assert.equal((await ask(socketPath, `https://o${i}.example/`, { agent })).status, 204);
  }
  assert.deepEqual(released, ["https://o1.example", "https://o2.example"]);
  agent.destroy();
  await binding.close(0);
});
