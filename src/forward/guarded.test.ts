import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { asError, guarded } from "./guarded.ts";

test("a guarded listener gets what it would have got, and its socket stays", () => {
  const socket = new PassThrough();
  const seen: unknown[] = [];
  guarded(socket, (...args: number[]) => void seen.push(...args))(1, 2);
  assert.deepEqual(seen, [1, 2]);
  assert.equal(socket.destroyed, false);
  assert.equal(socket.listenerCount("error"), 0);
});

test("what a listener throws ends its socket, and is thrown nowhere else", async () => {
  const socket = new PassThrough();
  const cause = new Error("not thought of");
  guarded(socket, () => {
    throw cause;
  })();
  assert.equal(socket.errored, cause);
  // Nobody but the guard listens: without it, this would end the process.
  await new Promise((resolve) => socket.once("close", resolve));
});

test("what is no emitter is ended as well", () => {
  const ends: Error[] = [];
  const session = { destroy: (error: Error) => void ends.push(error) };
  guarded(session, () => {
    // oxlint-disable-next-line no-throw-literal, only-throw-error
    throw "words";
  })();
  assert.equal(ends[0]?.message, "words");
});

test("anything that is thrown becomes an error, and an error stays itself", () => {
  const error = new TypeError("a");
  assert.equal(asError(error), error);
  assert.equal(asError(undefined).message, "undefined");
});
