import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

let folder: string;
let platform: TestPlatform | undefined;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-idle-"));
  const first = await startPlatform({ dataFolder: folder });
  const { token } = first.ready;
  try {
    for (const name of ["one", "two"]) {
      const code = `export default { fetch: () => new Response("${name}") };`;
      const path = `/accounts/{account}/workers/scripts/${name}`;
      const form = scriptForm(
        { compatibility_date: "2026-01-01" },
        {
          "index.js": ["application/javascript+module", code],
        },
      );
      const { status, json } = await first.api("PUT", path, form);
      assert.equal(status, 200, JSON.stringify(json.errors));
      await first.api("POST", `${path}/subdomain`, { enabled: true });
    }
  } finally {
    await first[Symbol.asyncDispose]();
  }
  platform = await startPlatform({
    dataFolder: folder,
    token,
    args: ["--dev", "--idle-after", "1m", "--metrics-port", "0"],
  });
});

after(async () => {
  await platform?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const run = async (...args: string[]): Promise<string> => {
  const { stdout } = await countersign([...args, "--data", folder]);
  return stdout;
};

async function states(): Promise<Record<string, string>> {
  const { workers } = JSON.parse(await run("status", "--json")) as {
    workers: readonly { script_name: string; state: string }[];
  };
  return Object.fromEntries(workers.map((worker) => [worker.script_name, worker.state]));
}

test("after a start with --idle-after no Worker runs before its first request, and status, doctor, readiness and metrics call that idle", async () => {
  assert.deepEqual(await states(), { one: "idle", two: "idle" });
  assert.match(await run("status"), /^ +one +idle {2}http:/m);
  assert.match(await run("doctor"), /worker one.*idle, its next request starts it/);
  const origin = new URL(platform!.ready.api).origin;
  assert.equal((await fetch(`${origin}/readyz`)).status, 200);
  const metrics = await (await fetch(platform!.ready.metrics!)).text();
  assert.match(metrics, /countersign_worker_idle\{[^}]*script="one"\} 1/);
  assert.match(metrics, /countersign_worker_processes\{[^}]*script="one"\} 0/);

  assert.equal((await platform!.worker("one")).body, "one");
  assert.deepEqual(await states(), { one: "running", two: "idle" });
});

test("a time that is none, or too short for what waitUntil() may do, is refused", async () => {
  for (const text of ["0", "59s", "soon", "-1m", "31d", "1e3s"]) {
    const { status, stderr } = await countersign([
      "start",
      `--idle-after=${text}`,
      "--data",
      folder,
    ]);
    assert.equal(status, 2, text);
    assert.match(stderr, /--idle-after ".*" is not a time from 1m to 30d/);
  }
});
