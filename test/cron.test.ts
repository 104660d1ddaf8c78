import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { deploys } from "./helpers/deploy.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { wranglerTail } from "./helpers/wrangler-tail.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

/** Answers with the runs in its process so far. */
const CODE = `const runs = [];
export default {
  async scheduled(controller, env, ctx) {
    console.log("ran", controller.cron);
    runs.push({ cron: controller.cron, at: controller.scheduledTime });
    if (controller.cron.startsWith("1 ")) throw new Error("the report is empty");
    ctx.waitUntil(Promise.resolve());
  },
  fetch: () => Response.json(runs),
};`;

describe("cron triggers", () => {
  let platform: TestPlatform;
  let token: string;
  const dataFolder = mkdtempSync(join(tmpdir(), "countersign-cron-"));
  const projects: WranglerProject[] = [];
  before(async () => {
    platform = await startPlatform({ dataFolder });
    token = platform.ready.token;
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    for (const one of projects) await one[Symbol.asyncDispose]();
    rmSync(dataFolder, { recursive: true, force: true });
  });

  const project = async (
    name: string,
    crons: readonly string[],
    code = CODE,
  ): Promise<WranglerProject> => {
    const { api, accountId } = platform.ready;
    const made = await wranglerProject(
      { api, token, accountId },
      { "wrangler.json": configuration(name, crons), "index.js": code },
    );
    projects.push(made);
    return made;
  };
  const cli = (...args: readonly string[]): Promise<CliRun> =>
    countersign([...args, "--data", dataFolder], { env: { NO_COLOR: "1" } });
  const runs = async (name: string): Promise<{ cron: string; at: number }[]> =>
    JSON.parse((await platform.worker(name)).body);

  let restarted = 0;
  it("wrangler deploy sets them, and a restart keeps them", async () => {
    const made = await project("minutely", ["* * * * *", "0 0 1 JAN MON#1"]);
    const deployed = await made.run(["deploy"]);
    assert.equal(deployed.exitCode, 0, deployed.output);
    assert.match(deployed.stdout, /schedule: \* \* \* \* \*/);
    await platform.end("SIGTERM");
    platform = await startPlatform({ dataFolder, token });
    const { stdout } = await cli("cron", "list", "minutely");
    assert.deepEqual(stdout.trim().split("\n"), ["* * * * *", "0 0 1 JAN MON#1"]);
    restarted = Date.now();
  });

  it("countersign cron run calls the handler now, and says how it ended", async () => {
    const made = await project("reports", ["0 6 * * 1-7", "1 6 1 1 *"]);
    await deploys(made);
    const none = await cli("cron", "run", "reports");
    assert.equal(none.status, 1);
    assert.match(none.stderr, /2 cron triggers, and none was named: "0 6 \* \* 1-7", "1 6 1 1 \*"/);
    const run = await cli("cron", "run", "reports", "--cron", "0 6 * * 1-7");
    assert.match(run.stdout, /✔ reports {2}0 6 \* \* 1-7 {2}ok/);
    const [first, ...more] = await runs("reports");
    assert.equal(first?.cron, "0 6 * * 1-7");
    assert.equal(more.length, 0);
    const failed = await cli("cron", "run", "reports", "--cron", "1 6 1 1 *", "--json");
    assert.equal(failed.status, 1);
    assert.equal(JSON.parse(failed.stdout).outcome, "exception");
    const other = await cli("cron", "run", "reports", "--cron", "2 6 1 1 *");
    assert.match(other.stderr, /no such cron trigger/);
  });

  it("an unmodified wrangler tail and the log show the runs", async () => {
    const made = await project("tailed", ["1 6 1 1 *"]);
    await deploys(made);
    const tail = wranglerTail({ dataFolder, ready: { ...platform.ready, token } }, [
      "tailed",
      "--format",
      "pretty",
    ]);
    await found(async () => {
      const path = "/accounts/{account}/workers/scripts/tailed/tails";
      return (await platform.api("GET", path)).json.result.length > 0 ? true : null;
    }, 30_000);
    // wrangler connects a moment after it has made the tail.
    const said = await found(async () => {
      await cli("cron", "run", "tailed");
      return tail.output().includes("ran 1 6") ? tail.output() : null;
    }, 30_000);
    assert.match(said, /"1 6 1 1 \*" @ .* - Exception Thrown/);
    await tail.end();
    const { stdout } = await cli("logs", "tailed");
    assert.match(stdout, /ran 1 6 1 1 \*/);
  });

  it("an expression that is none is refused with Cloudflare's code, and those before stay", async () => {
    const made = await project("wrong", ["0 22 * * 7"]);
    await deploys(made);
    await made.write({ "wrangler.json": configuration("wrong", ["0 22 * * 0"]) });
    const refused = await made.run(["deploy"]);
    assert.equal(refused.exitCode, 1, refused.output);
    assert.match(refused.output, /invalid cron string.*\[code: 10100\]/s);
    assert.equal((await cli("cron", "list", "wrong")).stdout.trim(), "0 22 * * 7");
    const many = Array.from({ length: 251 }, (_, i) => ({
      cron: `${i % 60} ${Math.floor(i / 60)} * * *`,
    }));
    const path = "/accounts/{account}/workers/scripts/wrong/schedules";
    const { json } = await platform.api("PUT", path, many);
    assert.equal(json.errors[0]?.code, 10072);
  });

  it("wrangler triggers deploy replaces them, and wrangler delete ends them", async () => {
    const made = await project("changed", ["0 1 * * *"]);
    await deploys(made);
    await made.write({ "wrangler.json": configuration("changed", ["0 2 * * *"]) });
    const run = await made.run(["triggers", "deploy"]);
    assert.equal(run.exitCode, 0, run.output);
    assert.equal((await cli("cron", "list", "changed")).stdout.trim(), "0 2 * * *");
    const path = "/accounts/{account}/workers/scripts/changed/schedules";
    const { json } = await platform.api("PUT", path, []);
    assert.deepEqual(json.result, { schedules: [] });
    assert.equal((await platform.worker("changed")).status, 200);
    const deleted = await made.run(["delete", "--force"]);
    assert.equal(deleted.exitCode, 0, deleted.output);
    const gone = await cli("cron", "run", "changed");
    assert.match(gone.stderr, /does not exist/);
  });

  it("a Worker that never returns from its runs has 16 at most, and its log has the others", async () => {
    const code = `export default { scheduled: () => new Promise((resolve) => setTimeout(resolve, 3_000)), fetch: () => new Response("ok") };`;
    const made = await project("slow", ["0 3 * * *"], code);
    await deploys(made);
    const path = "/accounts/{account}/countersign/scripts/slow/cron";
    const all = await Promise.all(Array.from({ length: 20 }, () => platform.api("POST", path, {})));
    const refused = all.filter(({ status }) => status === 429);
    assert.equal(refused.length, 4);
    assert.equal(refused[0]?.json.errors[0]?.code, 7000812);
    assert.equal((await platform.api("POST", path, {})).json.result.outcome, "ok");
    assert.match((await cli("logs", "slow")).stdout, /events_exceeded/);
  });

  // The last test: the minute has passed while the others ran.
  it("they run at their minute, once", async () => {
    const first = await found(async () => (await runs("minutely"))[0] ?? null, 90_000);
    assert.equal(first.cron, "* * * * *");
    // It runs at its minute, not at one that is long past.
    assert.ok(first.at > restarted - 120_000, String(first.at - restarted));
    const minutes = (await runs("minutely")).map(({ at }) => at);
    assert.ok(minutes.every((at) => at % 60_000 === 0 && at <= Date.now()));
    assert.deepEqual(minutes, [...new Set(minutes)], "each once");
  });
});

function configuration(name: string, crons: readonly string[]): object {
  return {
    name,
    main: "index.js",
    compatibility_date: "2026-11-01",
    triggers: { crons },
    observability: { enabled: true },
  };
}

async function found<T>(look: () => Promise<T | null>, within: number): Promise<T> {
  const until = Date.now() + within;
  for (;;) {
    const one = await look();
    if (one !== null) return one;
    assert.ok(Date.now() < until, "it did not come");
    await delay(250);
  }
}
