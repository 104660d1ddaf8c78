import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../failures/failures.ts";
import { GatewayObserver } from "./observe.ts";

test("a binding that fails in a loop fills no log, and metrics count all of it", () => {
  const lines: unknown[] = [];
  let counted = 0;
  const log = {
    info: (line: unknown) => lines.push(line),
    warn: (line: unknown) => lines.push(line),
  };
  const metrics = { traffic: () => ({ answered() {}, failed: () => (counted += 1) }) };
  const observer = new GatewayObserver(log as never, metrics as never, () => {});
  const binding = { socketPath: "", accountId: "a", scriptName: "s", bindingName: "B" };
  const loud = observer.traffic({ ...binding, certificateId: "c" });
  for (let i = 0; i < 1_000; i += 1) loud.failed(new Failure("origin_refused"), null, "0");
  assert.equal(counted, 1_000);
  assert.ok(lines.length >= 50 && lines.length < 70, String(lines.length));
  const quiet = observer.traffic({ ...binding, bindingName: "C", certificateId: "c" });
  quiet.failed(new Failure("origin_refused"), null, "0");
  assert.deepEqual((lines.at(-1) as { bindingName: string }).bindingName, "C");
});
