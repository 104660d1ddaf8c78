import assert from "node:assert/strict";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { startPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";

const windows = process.platform === "win32" && "there are no such signals";

test(
  "an exception that nothing catches replaces the control plane, which keeps its state",
  { skip: windows },
  async () => {
    const throwing = join(import.meta.dirname, "helpers/throw-on-signal.mjs");
    await using platform = await startPlatform({ env: { NODE_OPTIONS: `--import ${throwing}` } });
    const { ready, process: child } = platform;
    const lines: string[] = [];
    createInterface(child.stdout!).on("line", (line) => lines.push(line));
    const exited = once(child, "exit");
    child.kill("SIGUSR2");
    await until(() => lines.length > 0);
    const [line] = lines;
    // The same process id is ready again, and the earlier token is still valid.
    assert.equal(child.exitCode, null);
    assert.match(platform.log(), /thrown by a test/);
    const again = JSON.parse(line!) as typeof ready;
    assert.deepEqual([again.accountId, again.token], [ready.accountId, null]);
    const { status } = await fetch(`${again.api}/accounts/${ready.accountId}/workers/scripts`, {
      headers: { authorization: `Bearer ${ready.token}` },
    });
    assert.equal(status, 200);

    // A process that throws moments after it replaced another is left to the program that started it. On a machine so
    // busy that those moments have passed, it is replaced once more.
    for (let told = lines.length; child.exitCode === null; told = lines.length) {
      child.kill("SIGUSR2");
      await until(() => child.exitCode !== null || lines.length > told, 60_000);
    }
    assert.deepEqual(await exited, [1, null]);
  },
);
