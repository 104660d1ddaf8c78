import assert from "node:assert/strict";
import { test } from "node:test";
import { refusedAddress } from "./refused-address.ts";

test("what workerd says of an address that it does not connect to becomes a sentence", () => {
  const line =
    "e = rust/worker/ffi.rs:104: failed: connecting to 169.254.169.254:80 is not allowed; stack: …";
  assert.match(refusedAddress(line)?.message ?? "", /169\.254\.169\.254 port 80 .* link-local/);
  const six = refusedAddress("failed: connecting to 64:ff9b::a9fe:a9fe:8080 is not allowed");
  assert.deepEqual([six?.address, six?.port], ["64:ff9b::a9fe:a9fe", 8080]);
  assert.match(refusedAddress("connecting to 10.1.2.3:1 is not allowed")?.message ?? "", /private/);
  assert.equal(refusedAddress("Uncaught exception: boom"), null);
});
