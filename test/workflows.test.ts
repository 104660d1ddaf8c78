import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { masterKeyVariables } from "../src/keys/master-key.ts";
import { backUp, restore } from "../src/platform/backup.ts";
import { deploy, deploys, wranglerDeploys } from "./helpers/deploy.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { order, project } from "./helpers/workflows.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const started = { args: ["--dev", "--worker-processes", "2"] };

interface Status {
  readonly status?: string;
  readonly output?: { readonly ran: readonly string[]; readonly version: number } | null;
  readonly failed?: string;
}

describe("Workflows", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform(started);
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const ask = async (script: string, path: string): Promise<Status> => {
    const answer = await platform.worker(script, `/${path}`);
    assert.equal(answer.status, 200, `${answer.body} ${platform.log()}`);
    return JSON.parse(answer.body) as Status;
  };
  const becomes = async (script: string, id: string, status: string): Promise<Status> => {
    let told: Status = {};
    await until(async () => {
      told = await ask(script, `${id}/status`);
      return told.status === status;
    });
    return told;
  };
  const folders = (): string[] => {
    const root = join(platform.dataFolder, "storage", platform.ready.accountId, "objects");
    return existsSync(root) ? readdirSync(root) : [];
  };
  const instances = (script: string, rest = ""): string =>
    `/accounts/${platform.ready.accountId}/workflows/${script}-orders/instances${rest}`;

  const reaches = (script: string, id: string, step: string): Promise<void> =>
    until(async () => {
      const { json } = await platform.api("GET", instances(script, `/${id}`));
      return json.result.steps.some(({ name }: { name: string }) => name === step);
    });

  it("wrangler deploys a Worker with a Workflow; its instances are made, paused, sent events and ended by it", async () => {
    const waits = `const paid = await step.waitForEvent("paid", { type: "paid" }); ran.push(paid.payload.by);`;
    await using made = await wranglerProject(platform.ready, project("shop", order(waits)));
    const deployed = await made.run(["deploy"]);
    assert.equal(deployed.exitCode, 0, deployed.output);
    assert.match(deployed.output, /workflow: shop-orders/);
    assert.match((await ask("shop", "a/create")).status ?? "", /running|waiting/);
    await becomes("shop", "a", "waiting");
    assert.equal((await ask("shop", "a/pause")).status, "paused");
    assert.match((await ask("shop", "a/resume")).status ?? "", /running|waiting/);
    await ask("shop", "a/event");
    const { output } = await becomes("shop", "a", "complete");
    assert.deepEqual(
      [...(output?.ran.slice(0, 3) ?? []), output?.ran[4]],
      ["books", "a", "shop-orders", "card"],
    );
    await ask("shop", "b/create");
    assert.equal((await ask("shop", "b/terminate")).status, "terminated");
    assert.match((await ask("shop", "a/create")).failed ?? "", /already exists/);
    assert.match((await ask("shop", "nobody/status")).failed ?? "", /not_found/);
  });

  it("a step is tried again as it asks, and steps, sleeps and what waits survive kill -9 and a deploy", async () => {
    const middle = `
      const tried = await step.do("flaky", { retries: { limit: 3, delay: 10 } }, async ({ attempt }) => {
        if (attempt < 3) throw new Error("not yet");
        return attempt;
      });
      ran.push(tried);
      await step.sleep("nap", "2 seconds");
      await step.waitForEvent("paid", { type: "paid" });`;
    await using made = await wranglerProject(platform.ready, project("lasting", order(middle)));
    await deploys(made);
    const ids = ["a", "b", "c"];
    for (const id of ids) await ask("lasting", `${id}/create`);
    for (const id of ids) await reaches("lasting", id, "nap-1");
    await restarted("SIGKILL");
    for (const id of ids) await reaches("lasting", id, "paid-1");
    const changed = order(middle).replace("VERSION = 1", "VERSION = 2");
    await using again = await wranglerProject(platform.ready, project("lasting", changed));
    await deploys(again);
    for (const id of ids) await ask("lasting", `${id}/event`);
    for (const id of ids) {
      const { output } = await becomes("lasting", id, "complete");
      assert.deepEqual([output?.ran[4], output?.version], [3, 2]);
      const { json } = await platform.api("GET", instances("lasting", `/${id}`));
      const first = json.result.steps.find(({ name }: { name: string }) => name === "first-1");
      assert.equal(first.attempts.length, 1, "a step that was done ran once");
      assert.equal(first.output[3], output?.ran[3]);
    }
  });

  it("a step presents the Worker's certificate, also a step that waited while the platform was killed", async () => {
    const authority = await makeAuthority();
    await using origin = await startOrigin({ authority });
    const upload = async (body: object): Promise<string> => {
      const path = `/accounts/${platform.ready.accountId}/mtls_certificates`;
      return (await platform.api("POST", path, body)).json.result.id;
    };
    await upload({ certificates: authority.pem, ca: true });
    const { chain, key } = await authority.issue({ subject: "CN=orders" });
    const certificate = await upload({ certificates: chain, private_key: key, ca: false });
    const asks = (name: string): string =>
      `ran.push(await step.do("${name}", async () => (await (await this.env.CERT.fetch("${origin.url}")).json()).subject));`;
    const middle = `${asks("before")} await step.waitForEvent("paid", { type: "paid" }); ${asks("after")}`;
    const files = project("presents", order(middle));
    const bound = { mtls_certificates: [{ binding: "CERT", certificate_id: certificate }] };
    files["wrangler.jsonc"] = { ...(files["wrangler.jsonc"] as object), ...bound };
    await using made = await wranglerProject(platform.ready, files);
    await deploys(made);
    await ask("presents", "a/create");
    await reaches("presents", "a", "paid-1");
    await restarted("SIGKILL");
    await ask("presents", "a/event");
    const { output } = await becomes("presents", "a", "complete");
    assert.deepEqual(output?.ran.slice(4), ["CN=orders", "CN=orders"]);
    assert.equal(origin.subjects.length, 2);
  });

  it("instances that are created while their Worker is deployed are all there, and run to their end", async () => {
    await using made = await wranglerProject(platform.ready, project("steady"));
    await deploys(made);
    const over = new AbortController();
    const created: string[] = [];
    const steadily = (async () => {
      while (!over.signal.aborted) {
        const id = `n${created.length}`;
        assert.equal((await ask("steady", `${id}/create`)).failed, undefined);
        created.push(id);
      }
    })();
    await made.write({ "index.js": order().replace("VERSION = 1", "VERSION = 2") });
    await wranglerDeploys(made);
    over.abort();
    await steadily;
    assert.ok(created.length > 0);
    for (const id of created) await becomes("steady", id, "complete");
  });

  it("a backup has the instances, and a restore has them go on", async () => {
    const middle = `await step.waitForEvent("paid", { type: "paid" });`;
    await using made = await wranglerProject(platform.ready, project("backed", order(middle)));
    await deploys(made);
    await ask("backed", "a/create");
    await reaches("backed", "a", "paid-1");
    const { dataFolder, ready } = platform;
    const scratch = mkdtempSync(join(tmpdir(), "countersign-backup-"));
    try {
      const file = join(scratch, "backup.db");
      backUp({ dataFolder, file, force: false });
      await ask("backed", "a/terminate");
      const restored = join(scratch, "restored");
      mkdirSync(restored, { mode: 0o700 });
      copyFileSync(join(dataFolder, "master.key"), join(restored, "master.key"));
      const variables = masterKeyVariables({});
      await restore({ dataFolder: restored, file, force: true, variables, now: new Date() });
      await using second = await startPlatform({
        ...started,
        dataFolder: restored,
        token: ready.token,
      });
      // On a busy machine a Worker's first start may fail and be tried again.
      await until(async () => (await second.worker("backed", "/a/status")).status === 200);
      assert.equal(JSON.parse((await second.worker("backed", "/a/event")).body).failed, undefined);
      await until(async () => {
        const { body } = await second.worker("backed", "/a/status");
        return JSON.parse(body).status === "complete";
      });
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  });

  it("a step in whose middle the process is killed is tried again within seconds, not at its timeout", async () => {
    const middle = `ran.push(await step.do("long", async ({ attempt }) => {
      if (attempt === 1) await new Promise((done) => setTimeout(done, 300_000));
      return attempt;
    }));`;
    await using made = await wranglerProject(platform.ready, project("broken-off", order(middle)));
    await deploys(made);
    await ask("broken-off", "a/create");
    await reaches("broken-off", "a", "long-1");
    await restarted("SIGKILL");
    // Listing looks at the instance without making it continue; it continues by itself.
    await until(async () => {
      const { json } = await platform.api("GET", instances("broken-off"));
      return json.result[0].status === "complete";
    });
    assert.equal((await ask("broken-off", "a/status")).output?.ran[4], 2);
  });

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
    assert.match(
      all.output,
      /terminates all instances of a Workflow, which Countersign does not have/,
    );
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

  async function restarted(signal: NodeJS.Signals): Promise<void> {
    const { dataFolder, ready } = platform;
    await platform.end(signal);
    platform = await startPlatform({ ...started, dataFolder, token: ready.token });
  }
});
