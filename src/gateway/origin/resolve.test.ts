import assert from "node:assert/strict";
import { test } from "node:test";
import type { Resolve } from "../../network/lookups.ts";
import { resolveWithin, sharedFor, systemResolve } from "./resolve.ts";

const found = [{ address: "192.0.2.1", family: 4 }];
const finds: Resolve = () => Promise.resolve(found);
const asked: Resolve = () => assert.fail("asked");
const never: Resolve = () => new Promise(() => {});

function failing(code: string): Resolve {
  return () => Promise.reject(Object.assign(new Error("no"), { code }));
}

test("an address is its own, and nobody is asked", async () => {
  assert.deepEqual(await resolveWithin(1, "192.0.2.9", asked), [
    { address: "192.0.2.9", family: 4 },
  ]);
  assert.deepEqual(await resolveWithin(1, "2001:db8::1", asked), [
    { address: "2001:db8::1", family: 6 },
  ]);
});

test("what ends in .localhost is this machine", async () => {
  for (const host of ["localhost", "a.localhost", "A.LocalHost"]) {
    for (const { address } of await systemResolve(host)) assert.match(address, /^(127\.|::1$)/);
  }
});

test("a name that does not exist rejects with the resolver's code", async () => {
  await assert.rejects(systemResolve("a.invalid"), (error: { code: string }) =>
    error.code.startsWith("E"),
  );
});

test("each failure of a resolver has its own code", async () => {
  for (const [code, expected] of [
    [
      "ENOTFOUND",
      {
        code: "origin_name_not_found",
        message: '"a.example" does not resolve (ENOTFOUND)',
        facts: { host: "a.example", resolver: "ENOTFOUND" },
      },
    ],
    ["TOO_MANY_LOOKUPS", { code: "binding_lookups_exhausted", facts: { host: "a.example" } }],
    ["EMFILE", { code: "machine_files_exhausted", facts: { host: "a.example", errno: "EMFILE" } }],
    ["ENFILE", { code: "machine_files_exhausted", facts: { host: "a.example", errno: "ENFILE" } }],
  ] as const) {
    await assert.rejects(resolveWithin(1_000, "a.example", failing(code)), expected);
  }
});

test("a name that takes too long is given up, with its look-up, at that moment", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let given: AbortSignal | undefined;
  const late = resolveWithin(1_000, "a.example", (_, signal) => ((given = signal), never("")));
  t.mock.timers.tick(999);
  assert.equal(given!.aborted, false);
  t.mock.timers.tick(1);
  await assert.rejects(late, {
    code: "origin_name_timeout",
    message: '"a.example" did not resolve within 1000 ms',
    facts: { host: "a.example", timeoutMs: 1_000 },
  });
  assert.equal(given!.aborted, true);
});

test("a caller that goes away hears nothing from the resolver, and its signal has no listener left", async () => {
  const why = new Error("nobody waits");
  const cancel = new AbortController();
  const called = resolveWithin(1_000, "a.example", never, cancel.signal);
  cancel.abort(why);
  await assert.rejects(called, (error) => error === why);
  await assert.rejects(
    resolveWithin(1_000, "a.example", asked, cancel.signal),
    (error) => error === why,
  );
  const other = new AbortController();
  assert.equal(await resolveWithin(1_000, "a.example", finds, other.signal), found);
  other.abort();
});

test("a look-up that has ended is not called off by who goes away then", async () => {
  const signals: AbortSignal[] = [];
  const shared = sharedFor(10_000, (host, signal) => {
    signals.push(signal!);
    return host === "fails.example" ? failing("ENOTFOUND")("") : finds("");
  });
  for (const host of ["a.example", "fails.example"]) {
    const cancel = new AbortController();
    await shared(host, cancel.signal).catch(() => {});
    cancel.abort();
    assert.equal(signals.at(-1)!.aborted, false);
  }
  assert.equal(signals.length, 2);
});

test("connections that are opened together share a look-up, for the configured time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let lookups = 0;
  const shared = sharedFor(1_000, () => {
    lookups += 1;
    return finds("");
  });
  await Promise.all([shared("a.example"), shared("a.example"), shared("b.example")]);
  t.mock.timers.tick(999);
  await shared("a.example");
  assert.equal(lookups, 2);
  t.mock.timers.tick(1);
  await shared("a.example");
  assert.equal(lookups, 3);
});

test("an aborted look-up leaves the next one its full time", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const why = new Error("nobody waits");
  const reasons: unknown[] = [];
  const shared = sharedFor(1_000, (_, signal) => {
    signal!.addEventListener("abort", () => reasons.push(signal!.reason));
    return never("");
  });
  const first = new AbortController();
  void shared("a.example", first.signal);
  t.mock.timers.tick(500);
  first.abort(why);
  assert.deepEqual(reasons, [why]);
  const second = shared("a.example");
  t.mock.timers.tick(999);
  assert.equal(shared("a.example"), second);
  t.mock.timers.tick(1);
  assert.notEqual(shared("a.example"), second);
});

test("a look-up that nobody waits for is aborted; a look-up that another caller waits for is not", async () => {
  const signals: AbortSignal[] = [];
  const shared = sharedFor(10_000, (_, signal) => {
    signals.push(signal!);
    return new Promise(() => {});
  });
  const [one, other] = [new AbortController(), new AbortController()];
  void shared("a.example", one.signal);
  void shared("a.example", other.signal);
  one.abort();
  assert.equal(signals[0]!.aborted, false);
  other.abort();
  assert.equal(signals[0]!.aborted, true);
  void shared("a.example", new AbortController().signal);
  assert.equal(signals.length, 2, "who comes then gets one of their own");
});
