import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { connectInside, listenInside } from "../process/folder-socket.ts";
import { RunDirectory } from "../process/run-directory.ts";
import { WaitingRoom } from "./waiting-room.ts";

test("what is sent waits for the target; connections beyond the bound are closed", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-room-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const run = await RunDirectory.open(folder);
  const ready = Promise.withResolvers<void>();
  const entrypoints = new Map([["Door", "g/door"]]);
  const room = await WaitingRoom.open(run, { socket: "g/main", entrypoints }, ready.promise);
  assert.deepEqual([room.socket, ...room.entrypoints], ["w/g-main", ["Door", "w/g-door"]]);
  const waiting = connectInside(join(folder, "w"), "g-door");
  waiting.end("hello");
  const sockets: Socket[] = [];
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  while (sockets.length < 1_025) {
    const socket = connectInside(join(folder, "w"), "g-main");
    sockets.push(socket.resume());
    await once(socket, "connect");
  }
  await once(sockets.at(-1)!, "close");
  assert.equal(sockets.filter(({ destroyed }) => !destroyed).length, 1_024);
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  t.after(() => echo.close());
  await listenInside(echo, join(folder, "g"), "door");
  ready.resolve();
  const [answer] = (await once(waiting, "data")) as [Buffer];
  assert.equal(answer.toString(), "hello");
  await once(waiting, "close");
  await room.close();
});
