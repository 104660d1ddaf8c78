import assert from "node:assert/strict";
import { test } from "node:test";
import { StopSignal } from "./stop-signal.ts";

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  test(`${signal} is heard once, and the next one is the process's end again`, async () => {
    const before = process.listenerCount(signal);
    using stop = new StopSignal();
    process.kill(process.pid, signal);
    await stop.came;
    assert.equal(process.listenerCount(signal), before);
  });
}

test("what was not needed leaves no listener behind", () => {
  const before = process.listenerCount("SIGTERM");
  {
    using _stop = new StopSignal();
    assert.equal(process.listenerCount("SIGTERM"), before + 1);
  }
  assert.equal(process.listenerCount("SIGTERM"), before);
});
