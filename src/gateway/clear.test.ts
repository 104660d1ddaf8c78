import assert from "node:assert/strict";
import { once } from "node:events";
import { duplexPair, type Duplex } from "node:stream";
import { test } from "node:test";
import { readable, readExactly } from "./clear.ts";

function pair(): readonly [ours: Duplex, theirs: Duplex] {
  const [ours, theirs] = duplexPair({ allowHalfOpen: true });
  theirs.on("error", () => {});
  return [ours, theirs];
}

/** Not of `end`: a pair has one of its own. */
function listeners(socket: Duplex): number {
  return ["readable", "close", "error"]
    .map((event) => socket.listenerCount(event))
    .reduce((sum, count) => sum + count, 0);
}

test("exactly as many bytes are read as are asked for, and the rest stays", async () => {
  const [one, other] = pair();
  const before = listeners(one);
  const first = readExactly(one, 4);
  other.write("ab");
  await new Promise(setImmediate);
  other.write("cdef");
  assert.equal(String(await first), "abcd");
  assert.equal(String(await readExactly(one, 2)), "ef");
  assert.equal(one.readableLength, 0);
  other.end("g");
  assert.equal(await readExactly(one, 2), null);
  assert.equal(await readExactly(one, 1), null, "it has ended, and nobody is waited for");
  assert.equal(listeners(one), before, "nobody listens any more");
});

test("a socket that is gone is read no further, and its error is told", async () => {
  const [closed] = pair();
  closed.destroy();
  assert.equal(await readExactly(closed, 1), null);
  const reset = new Error("reset");
  const [broken] = pair();
  const reading = readExactly(broken, 1);
  broken.destroy(reset);
  await assert.rejects(reading, (error) => error === reset);
  await assert.rejects(readExactly(broken, 1), (error) => error === reset);
});

test("who waits for bytes is called off with the reason, before or meanwhile", async () => {
  const [one] = pair();
  const before = listeners(one);
  const why = new Error("nobody waits");
  await assert.rejects(readExactly(one, 1, AbortSignal.abort(why)), (error) => error === why);
  const cancel = new AbortController();
  const reading = readExactly(one, 1, cancel.signal);
  cancel.abort(why);
  await assert.rejects(reading, (error) => error === why);
  assert.equal(listeners(one), before);
});

test("of several sockets the first that has something, has ended or is closed is enough", async () => {
  for (const event of ["speaks", "ends", "is closed", "had ended", "had closed"]) {
    const [one] = pair();
    const [other, their] = pair();
    if (event === "had closed") {
      other.destroy();
      await once(other, "close");
    } else if (event === "had ended") {
      their.end();
      await once(other.resume(), "end");
    }
    const counts = [one, other].map(listeners);
    const waiting = readable([one, other]);
    if (event === "speaks") their.write("x");
    else if (event === "ends") their.end();
    else if (event === "is closed") other.destroy();
    await waiting;
    assert.deepEqual([one, other].map(listeners), counts, event);
  }
});
