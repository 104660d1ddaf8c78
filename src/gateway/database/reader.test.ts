import assert from "node:assert/strict";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { ByteReader } from "./reader.ts";

function pair(): readonly [ours: Duplex, theirs: Duplex] {
  const [ours, theirs] = duplexPair({ allowHalfOpen: true });
  theirs.on("error", () => {});
  return [ours, theirs];
}

/** Not of `end`: a pair has one of its own. */
function listeners(stream: Duplex): number[] {
  return ["readable", "close", "error"].map((event) => stream.listenerCount(event));
}

test("bytes are read as they are asked for, in whatever pieces they come, and the rest stays", async () => {
  const [ours, theirs] = pair();
  const reader = new ByteReader(ours);
  const before = listeners(ours);
  assert.equal((await reader.take(0)).length, 0);
  const first = reader.take(4);
  theirs.write("ab");
  await new Promise(setImmediate);
  theirs.write("cdef");
  assert.equal(String(await first), "abcd");
  assert.equal(String(await reader.take(2)), "ef");
  assert.deepEqual(listeners(ours), before, "nobody listens between two reads");
  theirs.write("rest");
  await new Promise(setImmediate);
  assert.equal(String(ours.read()), "rest");
});

test("a stream that ends too early is told, whenever it ends, and half of what was asked for is nothing", async () => {
  for (const said of ["", "ab"]) {
    const [ours, theirs] = pair();
    const reader = new ByteReader(ours);
    const reading = reader.take(3);
    theirs.end(said);
    await assert.rejects(reading, { code: "ECONNRESET", message: "closed" });
    await assert.rejects(reader.take(1), { code: "ECONNRESET" });
  }
  const [ours] = pair();
  const reading = new ByteReader(ours).take(1);
  ours.destroy();
  await assert.rejects(reading, { code: "ECONNRESET" });
});

test("a stream that breaks is told by its first error, at once or at the next read", async () => {
  const reset = new Error("reset");
  const [ours] = pair();
  const reader = new ByteReader(ours);
  const reading = reader.take(1);
  ours.destroy(reset);
  await assert.rejects(reading, (error) => error === reset);
  const [other] = pair();
  const later = new ByteReader(other);
  other.emit("error", reset);
  other.destroy(new Error("second"));
  await new Promise(setImmediate);
  await assert.rejects(later.take(1), (error) => error === reset);
});
