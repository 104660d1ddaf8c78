import assert from "node:assert/strict";
import { globSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { deploys } from "./helpers/deploy.ts";
import { startPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { order, project, workflowsOf } from "./helpers/workflows.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

test("instances that have ended or wait for long leave the memory, and go on when they are called", async () => {
  await using platform = await startPlatform({ args: ["--dev"] });
  const { ask, becomes } = workflowsOf(() => platform);
  const waits = `if (instanceId.startsWith("waits")) await step.waitForEvent("paid", { type: "paid" });
    if (instanceId.startsWith("naps")) await step.sleep("nap", "50 seconds");`;
  await using made = await wranglerProject(platform.ready, project("shop", order(waits)));
  await deploys(made);
  const ids = ["ends-1", "ends-2", "waits-1", "naps-1"];
  await Promise.all(ids.map((id) => ask("shop", `${id}/create`)));
  for (const id of ids) await becomes("shop", id, id.startsWith("ends") ? "complete" : "waiting");
  const files = globSync(`${platform.dataFolder}/storage/*/objects/*/*.sqlite`);
  const instances = new Set(
    files.filter((file) => /[0-9a-f]{64}\.sqlite$/.test(file)).map((file) => statSync(file).ino),
  );
  assert.equal(instances.size, 4);
  assert.equal(opened(instances), 4);
  // Who naps for less than a minute stays.
  await until(() => opened(instances) === 1, 30_000);
  await ask("shop", "waits-1/event");
  const { output } = await becomes("shop", "waits-1", "complete");
  assert.equal(output?.ran[1], "waits-1");
  assert.equal((await ask("shop", "ends-1/status")).status, "complete");
  assert.equal((await ask("shop", "naps-1/status")).status, "waiting");
});

/** How many of these files workerd's processes have open. */
function opened(inodes: ReadonlySet<number>): number {
  const found = new Set<number>();
  for (const folder of globSync("/proc/[0-9]*")) {
    try {
      if (readFileSync(`${folder}/comm`, "utf8") !== "workerd\n") continue;
      for (const descriptor of globSync(`${folder}/fd/*`)) {
        const { ino } = statSync(descriptor);
        if (inodes.has(ino)) found.add(ino);
      }
    } catch {
      // It has just ended.
    }
  }
  return found.size;
}
