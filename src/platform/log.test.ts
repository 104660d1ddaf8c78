import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { createLog } from "./log.ts";

test("a line for machines holds nothing that moves a terminal, and reads as it was said", async () => {
  const stream = new PassThrough();
  const said = "boom\u001b[2J\u009b31m\u202e\n";
  createLog({ level: "info", stream, pretty: false }).error({ why: said }, said);
  const line = String(stream.read() ?? (await once(stream, "data"))[0]);
  assert.match(line, /^[ -~]+\n$/);
  const { msg, why } = JSON.parse(line) as { readonly msg: string; readonly why: string };
  assert.deepEqual([msg, why], [said, said]);
});

test("what a Worker prints looks like no line of the platform's log", async () => {
  const stream = new PassThrough();
  createLog({ level: "info", stream, pretty: true }).error(
    { from: "runtime" },
    "boom\n[00:00:00] ERROR: the master key changed\u001b[2J\u202e",
  );
  const line = String(stream.read() ?? (await once(stream, "data"))[0]);
  assert.match(line, /boom\n {4}\[00:00:00\] ERROR: the master key changed\\u001b\[2J\\u202e/);
});
