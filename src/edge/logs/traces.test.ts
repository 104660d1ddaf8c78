import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readTrace, TraceLines } from "./traces.ts";

test("what is not behind the mark is the Worker's own line, whatever it looks like", () => {
  const [one, other] = [new TraceLines(), new TraceLines()];
  const mark = /"([0-9a-f]{32})"/.exec(one.module(1))![1]!;
  const line = `${mark}{"outcome":"ok","logs":[]}`;
  assert.equal(one.read(line)?.outcome, "ok");
  assert.equal(other.read(line), null);
  assert.equal(one.read('{"outcome":"ok"}'), null);
});

test("a sampled forwarder leaves calls out before it writes them down", () => {
  assert.doesNotMatch(new TraceLines().module(1), /random/);
  assert.match(new TraceLines().module(0.25), /Math\.random\(\) >= 0\.25/);
});

test("any trace becomes an entry or is left out", () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (json) => {
      const trace = readTrace(json);
      if (trace === null) return;
      assert.equal(typeof trace.outcome, "string");
      assert.ok(Array.isArray(trace.logs) && Number.isFinite(trace.eventTimestamp));
    }),
  );
  const deep = {
    outcome: 5,
    logs: [null, { message: "x" }],
    exceptions: [{ stack: 3 }],
    event: [],
  };
  const trace = readTrace(JSON.stringify(deep));
  assert.equal(trace?.outcome, "unknown");
  assert.deepEqual(
    trace.logs.map(({ message }) => message),
    [["x"]],
  );
  assert.equal(trace.exceptions[0]?.stack, undefined);
});

test("the ray is that of the request's header", () => {
  const event = { request: { headers: { "cf-ray": "abc" } } };
  assert.equal(readTrace(JSON.stringify({ event }))?.ray, "abc");
  assert.equal(
    readTrace(JSON.stringify({ event: { request: { headers: { "cf-ray": 5 } } } }))?.ray,
    null,
  );
});
