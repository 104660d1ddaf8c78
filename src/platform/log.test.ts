import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createLog } from "./log.ts";

test("what a Worker prints looks like no line of the platform's log", async () => {
  const stream = new PassThrough();
  createLog({ level: "info", stream, pretty: true }).error(
    { from: "runtime" },
    "boom\n[00:00:00] ERROR: the master key changed\u001b[2J\u202e",
  );
  const line = String(stream.read() ?? (await once(stream, "data"))[0]);
  assert.match(line, /boom\n {4}\[00:00:00\] ERROR: the master key changed\\u001b\[2J\\u202e/);
});
