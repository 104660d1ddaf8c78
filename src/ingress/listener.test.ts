import assert from "node:assert/strict";
import { test } from "node:test";
import type { Dispatcher } from "undici";
import { Answers } from "./answers.ts";
import { Challenges } from "./challenges.ts";
import { Clients } from "./clients.ts";
import { SharedPort } from "../process/shared-port.ts";
import { Listener } from "./listener.ts";
import { Zones } from "./zones.ts";
import { IngressObserver } from "./observe.ts";

test("an ingress without a file left says so, and does not blame the Worker", async () => {
  const dispatcher = {
    dispatch: (_: unknown, handler: Dispatcher.DispatchHandler) => {
      const error = Object.assign(new Error("connect"), { code: "EMFILE", syscall: "connect" });
      handler.onResponseError!(null as never, error);
    },
  };
  const upstream = { dispatcher, socket: "x", began() {}, finished() {} };
  const answers = new Answers({
    find: () => ({
      kind: "upstream",
      upstream: upstream as never,
      headers: [],
      script: { accountId: "", scriptName: "", versionId: null, isTraced: false },
      isOrigin: false,
    }),
    hosts: { find: () => null } as never,
    zones: new Zones(),
    clients: new Clients(),
    challenges: new Challenges(),
    observer: new IngressObserver(() => {}),
    howEnded: () => Promise.reject(new Error("nothing has ended")),
  });
  const listener = new Listener(answers);
  const held = await SharedPort.open({ host: "127.0.0.1", port: 0 });
  const { port } = held;
  await listener.listen({ host: "127.0.0.1", port, socket: held.passed });
  const answer = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(10_000) });
  assert.equal(answer.status, 503);
  assert.match(await answer.text(), /\(machine_files_exhausted\)/);
  await listener.drain();
});
