import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameReader } from "./frames.ts";
import { FRAME, frameHeader } from "./messages.ts";

test("frames of several uploads are put together, however they are cut", async () => {
  const sent = Buffer.concat([
    frame(1, FRAME.body, "one "),
    frame(2, FRAME.certificate, "cert"),
    frame(1, FRAME.body, "more"),
    frame(2, FRAME.key, "key"),
    frame(2, FRAME.end, ""),
    frame(1, FRAME.end, ""),
  ]);
  for (let size = 1; size <= sent.length; size++) {
    const reader = new FrameReader();
    for (let at = 0; at < sent.length; at += size) reader.push(sent.subarray(at, at + size));
    assert.deepEqual(await reader.whole(1), Buffer.from("one more"));
    const pair = await reader.whole(2);
    assert.ok("key" in pair);
    assert.deepEqual([String(pair.certificate), String(pair.key)], ["cert", "key"]);
  }
});

function frame(id: number, kind: number, text: string): Buffer {
  return Buffer.concat([frameHeader(id, kind, text.length), Buffer.from(text)]);
}
