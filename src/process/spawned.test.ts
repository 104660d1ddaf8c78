import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { spawnProcess } from "./spawned.ts";

const windows = process.platform === "win32" && "there are no such limits";

test(
  "without a file descriptor left, a start fails with a code and ends nothing",
  { skip: windows },
  async () => {
    const script = `
    import { openSync, closeSync } from "node:fs";
    import { spawnProcess } from ${JSON.stringify(new URL("spawned.ts", import.meta.url).href)};
    const open = [];
    try { for (;;) open.push(openSync("/dev/null")); } catch {}
    const failed = await spawnProcess("true", [], {}).catch((error) => error);
    closeSync(open.pop());
    for (const one of open) closeSync(one);
    const { ended } = await spawnProcess("true", [], {});
    console.log(failed.code, failed.facts.reason, await ended);
  `;
    const { stdout } = await promisify(execFile)("/bin/sh", [
      "-c",
      'ulimit -n 64; exec "$0" --input-type=module -e "$1"',
      process.execPath,
      script,
    ]);
    assert.equal(stdout, "process_not_started EMFILE exited with status 0\n");
  },
);

test("a program that is not there is named", async () => {
  await assert.rejects(spawnProcess("/there/is/no/such/program", [], {}), {
    code: "process_not_started",
    message: /"\/there\/is\/no\/such\/program": ENOENT/,
  });
});
