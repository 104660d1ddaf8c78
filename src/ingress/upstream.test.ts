import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, request } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { forward, wasNeverSent } from "../forward/forward.ts";
import { Upstream } from "./upstream.ts";

test("whenever a Worker's process ends, a request reaches no more than one of them", async () => {
  const folder = mkdtempSync(join(tmpdir(), "upstream-"));
  const socket = join(folder, "w");
  const seen = new Map<string, number>();
  let mode = 0;
  // A Worker that ends in the middle of things, and is there again at once.
  const worker: Server = createServer((connection) => {
    connection.on("error", () => {});
    connection.on("data", (chunk) => {
      for (const [, path] of chunk.toString("latin1").matchAll(/^[A-Z]+ (\S+) HTTP/gm)) {
        seen.set(path!, (seen.get(path!) ?? 0) + 1);
        mode++;
        if (mode % 4 === 0) connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        else setTimeout(() => connection.destroy(), mode % 4);
      }
    });
  }).listen(socket);
  const upstream = new Upstream(socket);
  const front = createHttpServer((incoming, response) => {
    forward(incoming, response, {
      dispatcher: upstream.dispatcher,
      path: incoming.url!,
      failed: (_, __, answer) => answer.writeHead(502).end(),
      mayRetry: wasNeverSent,
    });
  }).listen(0, "127.0.0.1");
  await delay(20);
  const { port } = front.address() as AddressInfo;
  const one = (number: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const method = ["GET", "POST", "DELETE"][number % 3]!;
      const sent = request({ port, path: `/${number}`, method, agent: false }, (answer) => {
        answer.resume().on("end", () => resolve(answer.statusCode!));
      });
      sent.on("error", reject).end(method === "POST" ? "body" : undefined);
    });
  try {
    const statuses = await Promise.all(Array.from({ length: 400 }, (_, number) => one(number)));
    assert.ok(statuses.includes(200) && statuses.includes(502));
    assert.deepEqual(
      [...seen].filter(([, times]) => times > 1),
      [],
    );
  } finally {
    front.closeAllConnections();
    front.close();
    worker.close();
    await upstream.dispatcher.destroy();
    rmSync(folder, { recursive: true });
  }
});
