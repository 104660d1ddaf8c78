import assert from "node:assert/strict";
import { test } from "node:test";
import { rpcAbort } from "./rpc-abort.ts";

/** Written by hand from the encoding's specification. */
test("the message is one segment whose exception has the reason", () => {
  const words = [
    "0000000006000000",
    "0000000001000100",
    "0100000000000000",
    "0000000001000100",
    "0000000000000000",
    "010000001a000000",
    "6e6f000000000000",
  ];
  assert.equal(rpcAbort("no").toString("hex"), words.join(""));
});

test("a text of any length ends with a zero, and fills its words", () => {
  for (const reason of ["", "seven b", "eight by", "ümläute", "x".repeat(1000)]) {
    const message = rpcAbort(reason);
    const bytes = message.readUInt32LE(44) >>> 3;
    assert.equal(message.length, 8 + message.readUInt32LE(4) * 8);
    assert.equal(message.subarray(48, 48 + bytes).toString(), `${reason}\0`);
  }
});
