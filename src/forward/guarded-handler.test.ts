import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { GuardedHandler, type Handler } from "./guarded-handler.ts";

type Called = readonly [string, ...unknown[]];

/** A handler that notes what it is called with, and throws where `throwing` says so. */
function noting(throwing: string | null): { handler: Handler; called: Called[] } {
  const called: Called[] = [];
  const handler = new Proxy({} as Handler, {
    get:
      (_, name: string) =>
      (...args: unknown[]) => {
        called.push([name, ...args]);
        // oxlint-disable-next-line only-throw-error
        if (name === throwing) throw "not thought of";
      },
  });
  return { handler, called };
}

const controller = {} as never;
const CALLS: readonly (readonly [keyof Handler & keyof GuardedHandler, readonly unknown[]])[] = [
  ["onRequestStart", [controller]],
  ["onResponseStarted", []],
  ["onResponseStart", [controller, 200, { "x-a": "1" }, "OK"]],
  ["onResponseData", [controller, Buffer.from("data")]],
  ["onResponseEnd", []],
  ["onResponseError", [controller, new Error("refused")]],
];

for (const [name, args] of CALLS) {
  test(`${name} arrives as it was called, and what it throws ends its exchange alone`, () => {
    const quiet = noting(null);
    new GuardedHandler(quiet.handler)[name](...(args as [never, never, never, never]));
    assert.deepEqual(quiet.called, [[name, ...args]]);
    const { handler, called } = noting(name);
    new GuardedHandler(handler)[name](...(args as [never, never, never, never]));
    assert.deepEqual(called[1], ["crashed", new Error("not thought of")]);
  });
}

test("an upgrade handler that throws ends the connection to the origin too, and one that does not throw leaves it open", () => {
  for (const throwing of [null, "onRequestUpgrade"]) {
    const { handler, called } = noting(throwing);
    const upstream = new PassThrough().on("error", () => {});
    new GuardedHandler(handler).onRequestUpgrade(controller, 101, {}, upstream);
    assert.deepEqual(called[0], ["onRequestUpgrade", controller, 101, {}, upstream]);
    assert.equal(upstream.destroyed, throwing !== null);
    assert.equal(called.length, throwing === null ? 1 : 2);
  }
});
