import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { WorkerEvent } from "../../contract/worker-log.ts";
import { readTrace } from "./traces.ts";
import { MappingTime } from "./mapping-time.ts";
import { Timings, WorkerLog } from "./worker-log.ts";

function logOf(
  told: WorkerEvent[],
  options: { isTraced: boolean; everyCall?: boolean },
): WorkerLog {
  const everyCall = options.everyCall ?? true;
  return new WorkerLog({
    version: {
      accountId: "a",
      scriptName: "loud",
      versionId: "v",
      observability: { samplingRate: 1, everyCall },
    },
    isTraced: options.isTraced,
    keptShare: 1,
    tell: (event) => told.push(event),
    timings: new Timings(),
    mapping: new MappingTime(),
    readSourceMap: () => Promise.resolve(null),
  });
}

test("a process that writes without an end gets its share of entries, and the rest is counted", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const told: WorkerEvent[] = [];
  const log = logOf(told, { isTraced: true });
  const trace = readTrace('{"outcome":"ok"}')!;
  for (let n = 0; n < 5_000; n += 1) log.call(trace);
  t.mock.timers.tick(300);
  await turn();
  const calls = told.filter(({ entry }) => entry.kind === "invocation");
  assert.ok(calls.length >= 1_000 && calls.length < 2_000, `${calls.length} entries`);
  const said = told.find(({ entry }) => entry.kind === "console")?.entry.logs[0]?.message[0];
  assert.match(String(said), /^[34]\d{3} entries were left out/);
});

test("where only what says something is to be kept, a silent call is shown and not kept", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const told: WorkerEvent[] = [];
  const log = logOf(told, { isTraced: true, everyCall: false });
  log.call(readTrace('{"outcome":"ok"}')!);
  log.call(readTrace('{"outcome":"exception"}')!);
  log.call(readTrace('{"outcome":"ok","logs":[{"level":"log","message":["x"]}]}')!);
  t.mock.timers.tick(300);
  await turn();
  assert.deepEqual(
    told.map(({ isKept }) => isKept),
    [false, true, true],
  );
});

test("what ended a process is in its log, with the limit that it exceeded", () => {
  const told: WorkerEvent[] = [];
  const log = logOf(told, { isTraced: false });
  log.ended("it exceeded its memory limit of 128 MiB", "worker_limits_exceeded");
  log.line("log", "hello");
  assert.deepEqual(
    told.map(({ entry }) => [entry.kind, entry.outcome, entry.code]),
    [
      ["failure", "exceededMemory", "worker_limits_exceeded"],
      ["console", "unknown", undefined],
    ],
  );
});
