import assert from "node:assert/strict";
import { test } from "node:test";
import { Kept, type Run } from "./kept.ts";

interface FakeRun extends Run {
  end(reason: string): void;
}

function fakeRun(pid: number): FakeRun {
  const ended = Promise.withResolvers<string>();
  return {
    pid,
    ended: ended.promise,
    end: ended.resolve,
    stop: async () => ended.resolve("stopped"),
  };
}

test("what ends is started again, and what waits for it gets the new one", async () => {
  const runs = [fakeRun(1), fakeRun(2)];
  const reasons: string[] = [];
  const kept: Kept<FakeRun> = new Kept<FakeRun>({
    launch: async () => runs[kept.status().restarts]!,
    failed: (reason) => reasons.push(reason),
  });
  await kept.start();
  runs[0]!.end("killed");
  await new Promise(setImmediate);
  assert.deepEqual(kept.status(), {
    pid: null,
    state: "restarting",
    restarts: 0,
    lastExit: "killed",
  });
  assert.equal((await kept.ready()).pid, 2);
  assert.deepEqual(
    [kept.status().state, kept.status().restarts, reasons],
    ["running", 1, ["killed"]],
  );
  await kept.stop(0);
  assert.equal(kept.status().state, "stopped");
});

test("what does not start at first is not kept, unless it was asked for", async () => {
  let launches = 0;
  const launch = async (): Promise<FakeRun> => {
    if (++launches < 3) throw new Error(`no ${launches}`);
    return fakeRun(launches);
  };
  const strict = new Kept({ launch, failed: () => {} });
  await assert.rejects(strict.start(), /no 1/);
  await strict.stop(0);
  const kept = new Kept({ launch, failed: () => {} });
  await kept.startOrRetry();
  assert.equal(kept.status().state, "restarting");
  assert.equal((await kept.ready()).pid, 3);
  await kept.stop(0);
});

test("who waits for two tries has it running after the second, or knows that both failed", async () => {
  for (const [failing, running] of [
    [1, true],
    [3, false],
  ] as const) {
    let launches = 0;
    const kept = new Kept<FakeRun>({
      launch: async () => {
        if (++launches <= failing) throw new Error(`no ${launches}`);
        return fakeRun(launches);
      },
      failed: () => {},
    });
    await kept.startOrRetry(2);
    assert.deepEqual([launches, kept.current !== null], [2, running]);
    await kept.stop(0);
  }
});

test("what is stopped while it waits for its restart is not started any more", async () => {
  let launches = 0;
  const kept = new Kept({
    launch: async () => {
      launches++;
      throw new Error("no");
    },
    failed: () => {},
  });
  await kept.startOrRetry();
  await kept.stop(0);
  await assert.rejects(kept.ready());
  assert.equal(launches, 1);
});
