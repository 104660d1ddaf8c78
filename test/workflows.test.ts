import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { masterKeyVariables } from "../src/keys/master-key.ts";
import { backUp, restore } from "../src/platform/backup/backup.ts";
import { deploys, wranglerDeploys } from "./helpers/deploy.ts";
import { startOrigin } from "./helpers/origin.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { order, project, workflowsOf } from "./helpers/workflows.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

const started = { args: ["--dev", "--worker-processes", "2"] };

describe("Workflows", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform(started);
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const { ask, becomes, instances, reaches } = workflowsOf(() => platform);

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

  async function restarted(signal: NodeJS.Signals): Promise<void> {
    const { dataFolder, ready } = platform;
    await platform.end(signal);
    platform = await startPlatform({ ...started, dataFolder, token: ready.token });
  }
});
