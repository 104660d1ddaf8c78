import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { startPlatform } from "./helpers/platform.ts";

const skip = existsSync("/proc/self/task") ? false : "threads are counted in /proc";

test(
  "the processes that look names up have a thread for each that the shares allow",
  { skip },
  async () => {
    await using platform = await startPlatform();
    const main = threads(platform.process.pid!);
    // libuv lets look-ups have half of them: 28 in the main process, 60 in the gateway.
    assert.equal(main, 64);
    await using more = await startPlatform({ env: { UV_THREADPOOL_SIZE: "80" } });
    assert.equal(threads(more.process.pid!), 80);
  },
);

function threads(pid: number): number {
  const names = readdirSync(`/proc/${pid}/task`).map((id) =>
    readFileSync(`/proc/${pid}/task/${id}/comm`, "latin1").trim(),
  );
  return names.filter((name) => name === "libuv-worker").length;
}
