import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { deploy, deploys } from "./helpers/deploy.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { order, project, workflowsOf } from "./helpers/workflows.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

describe("Workflows are managed", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform({ args: ["--dev", "--worker-processes", "2"] });
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const { ask, becomes, instances } = workflowsOf(() => platform);
  const folders = (): string[] => {
    const root = join(platform.dataFolder, "storage", platform.ready.accountId, "objects");
    return existsSync(root) ? readdirSync(root) : [];
  };

  it("wrangler lists, triggers, describes and ends instances as the engine has them", async () => {
    const middle = `await step.waitForEvent("paid", { type: "paid" });`;
    await using made = await wranglerProject(platform.ready, project("kept", order(middle)));
    await deploys(made);
    const says = async (args: readonly string[], said: RegExp): Promise<string> => {
      const { exitCode, output } = await made.run(["workflows", ...args]);
      assert.equal(exitCode, 0, output);
      assert.match(output, said);
      return output;
    };
    await says(["list"], /kept-orders[\s\S]*kept[\s\S]*Order/);
    await says(["describe", "kept-orders"], /Class Name:\s+Order[\s\S]*Latest Version/);
    await says(["trigger", "kept-orders", `{"of":"wine"}`, "--id", "one"], /one/);
    await says(["trigger", "kept-orders"], /[0-9a-f]{8}-[0-9a-f]{4}/);
    await says(["instances", "list", "kept-orders"], /Showing 2 instances[\s\S]*one/);
    await until(async () => {
      const { output } = await made.run([
        "workflows",
        "instances",
        "describe",
        "kept-orders",
        "one",
      ]);
      return /first-1[\s\S]*wine[\s\S]*paid-1/.test(output);
    });
    await says(["instances", "pause", "kept-orders", "one"], /paused/);
    await says(["instances", "resume", "kept-orders", "one"], /resumed/);
    await says(["instances", "send-event", "kept-orders", "one", "--type", "paid"], /was sent/);
    await becomes("kept", "one", "complete");
    await says(["instances", "restart", "kept-orders", "one"], /restarted/);
    await says(["instances", "terminate", "kept-orders", "latest"], /terminated/);
    await says(
      ["instances", "list", "kept-orders", "--status", "terminated"],
      /Showing 1 instance /,
    );
    await says(["instances", "delete", "kept-orders", "one"], /Deleted/);
    await says(["instances", "list", "kept-orders"], /Showing 1 instance /);
    const all = await made.run(["workflows", "instances", "terminate-all", "kept-orders"]);
    assert.match(all.output, /does not have a job that terminates all instances of a Workflow/);
    const absent = await made.run(["workflows", "instances", "describe", "kept-orders", "none"]);
    assert.match(absent.output, /no such instance[\s\S]*code: 10400/);
    const unknown = await made.run(["workflows", "describe", "none"]);
    assert.match(unknown.output, /no Workflow "none"[\s\S]*code: 10200/);
  });

  it("its instances go with the Workflow or its Worker, and one of the same name begins with none", async () => {
    await using made = await wranglerProject(platform.ready, project("brief"));
    const some = folders();
    await deploys(made);
    await ask("brief", "a/create");
    await becomes("brief", "a", "complete");
    assert.equal(folders().length, some.length + 1);
    const deleted = await made.run(["workflows", "delete", "brief-orders"]);
    assert.equal(deleted.exitCode, 0, deleted.output);
    assert.deepEqual(folders(), some);
    assert.match((await ask("brief", "a/status")).failed ?? "", /undefined/);
    await deploys(made);
    assert.match((await ask("brief", "a/status")).failed ?? "", /not_found/);
    const removed = await made.run(["delete", "--force"]);
    assert.equal(removed.exitCode, 0, removed.output);
    assert.deepEqual(folders(), some);
    const { json } = await platform.api("GET", `/accounts/${platform.ready.accountId}/workflows`);
    assert.ok(!json.result.some(({ name }: { name: string }) => name === "brief-orders"));
  });

  it("what the engine cannot do is refused by name before anything is live", async () => {
    await using made = await wranglerProject(platform.ready, project("strict"));
    const refused = async (
      files: Parameters<WranglerProject["write"]>[0],
      why: RegExp,
    ): Promise<void> => {
      await made.write(files);
      assert.match(await deploy(made), why);
    };
    await refused(
      project("strict", order(), { script_name: "elsewhere" }),
      /a Workflow of the Worker "elsewhere"[\s\S]*code: 7000832/,
    );
    await refused(
      project("strict", order().replace("extends WorkflowEntrypoint", "")),
      /does not export the class "Order", which runs the Workflow "strict-orders"[\s\S]*code: 7000834/,
    );
    const { status } = await platform.worker("strict");
    assert.equal(status, 404);
    await made.write(project("strict"));
    await deploys(made);
    await refused(
      project("strict", order(), { name: "renamed" }),
      /two Workflows[\s\S]*code: 7000830/,
    );
    await refused(
      project("other", order(), { name: "strict-orders" }),
      /belongs to the Worker "strict"[\s\S]*code: 7000831/,
    );
    await made.write(project("strict", order(), { schedules: "0 * * * *" }));
    const scheduled = await made.run(["deploy"]);
    assert.equal(scheduled.exitCode, 1, scheduled.output);
    assert.match(
      scheduled.output,
      /has `schedules`, which Countersign does not have[\s\S]*have a cron trigger/,
    );
    await made.write(project("strict", order(), { limits: { steps: 1 } }));
    await made.write({ "index.js": order(`await step.do("second", async () => 2);`) });
    await deploys(made);
    await ask("strict", "a/create");
    const { error } = (await becomes("strict", "a", "errored")) as { error?: { message: string } };
    assert.match(error?.message ?? "", /limit of 1 steps/);
  });

  it("16 calls of the API to the Workflows of a Worker go on at once, and no more", async () => {
    const middle = `await step.do("kept", async () => 1, {
      rollback: () => new Promise((done) => setTimeout(done, 5_000)),
    });
    await step.waitForEvent("paid", { type: "paid" });`;
    await using made = await wranglerProject(platform.ready, project("crowded", order(middle)));
    await deploys(made);
    for (let n = 0; n < 17; n++) await ask("crowded", `i${n}/create`);
    for (let n = 0; n < 17; n++) await becomes("crowded", `i${n}`, "waiting");
    const answers: Promise<{ status: number; json: { errors: readonly { code: number }[] } }>[] =
      [];
    const end = { status: "terminate", rollback: true };
    for (let n = 0; n < 17; n++) {
      answers.push(platform.api("PATCH", instances("crowded", `/i${n}/status`), end));
    }
    const first = await Promise.race(answers);
    assert.equal(first.status, 429);
    assert.equal(first.json.errors[0]?.code, 7000840);
    const all = await Promise.all(answers);
    assert.equal(all.filter(({ status }) => status === 200).length, 16, JSON.stringify(all));
  });
});
