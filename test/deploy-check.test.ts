import assert from "node:assert/strict";
import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Failure } from "../src/failures/failures.ts";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { order } from "./helpers/workflows.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

const repository = join(import.meta.dirname, "..");

describe("what cannot be deployed", { concurrency: true }, () => {
  let control: TestControl;
  before(async () => {
    control = await startControl();
  });
  after(() => control[Symbol.asyncDispose]());

  const project = async (name: string, more: object = {}): Promise<WranglerProject> => {
    const made = await wranglerProject(control, {
      "wrangler.json": { name, main: "index.js", compatibility_date: "2026-11-01", ...more },
      "index.js": "export default { fetch: () => new Response('hello') };",
    });
    await symlink(join(repository, "node_modules"), join(made.folder, "node_modules"));
    return made;
  };
  const check = (made: WranglerProject, ...more: readonly string[]): Promise<CliRun> =>
    countersign(["deploy", "--check", ...more], {
      cwd: made.folder,
      env: {
        HOME: made.folder,
        CLOUDFLARE_API_BASE_URL: control.api,
        CLOUDFLARE_API_TOKEN: control.token,
        CLOUDFLARE_ACCOUNT_ID: control.accountId,
        NO_COLOR: "1",
      },
    });
  const isThere = async (name: string): Promise<boolean> =>
    (await control.call("GET", `/accounts/{account}/workers/services/${name}`)).success;

  it("wrangler deploy is told all of it at once, each with what to do", async () => {
    await using made = await project("much", MUCH);
    const run = await made.run(["deploy"]);
    assert.equal(run.exitCode, 1, run.output);
    for (const expected of [
      /binding "AI" \(ai\) cannot be bound here\. Call a model's own API/,
      /binding "MAIL" \(send_email\) cannot be bound here\. Call the API of a mail service/,
      /"S" names the Worker "nowhere", which was not found/,
      /tail consumers.*Remove `tail_consumers`/,
    ]) {
      assert.match(run.stderr, expected);
    }
    assert.equal(await isThere("much"), false);
  });

  it("deploy --check names what of a Workflow wrangler would send too late", async () => {
    const workflow = { name: "orders", binding: "ORDERS", class_name: "Order" };
    await using made = await project("orders", {
      workflows: [{ ...workflow, schedules: "0 * * * *", limits: { steps: 10 } }],
    });
    await made.write({ "index.js": order() });
    const run = await check(made);
    assert.equal(run.status, 1);
    assert.match(run.stdout + run.stderr, /a Workflow has `schedules`[\s\S]*have a cron trigger/);
    assert.doesNotMatch(run.stdout + run.stderr, /`limits`/);
  });

  it("deploy --check says the same without deploying, and what wrangler would send too late", async () => {
    await using made = await project("later", {
      ...MUCH,
      triggers: { crons: ["* * * * *", "0 22 * * 0"] },
    });
    const run = await check(made, "--json");
    const said = JSON.parse(run.stdout) as {
      name: string;
      deployable: boolean;
      refusals: { code: string; message: string; fix: string }[];
    };
    assert.equal(run.status, 1);
    assert.equal(said.name, "later");
    assert.equal(said.deployable, false);
    const codes = said.refusals.map(({ code }) => code).toSorted();
    assert.deepEqual(codes, [
      "binding_service_unknown",
      "binding_unsupported",
      "binding_unsupported",
      "cron_invalid",
      "feature_unsupported",
    ]);
    assert.ok(said.refusals.every(({ fix }) => fix.length > 10));
    assert.equal(await isThere("later"), false);
  });

  it("a Python Worker is refused by name, with what to do, by wrangler and by deploy --check", async () => {
    await using made = await project("snake", {
      main: "entry.py",
      compatibility_flags: ["python_workers"],
    });
    await made.write({
      "entry.py": `from workers import WorkerEntrypoint, Response

class Default(WorkerEntrypoint):
    async def fetch(self, request):
        return Response("hello")
`,
    });
    const deploy = await made.run(["deploy"]);
    assert.equal(deploy.exitCode, 1, deploy.output);
    const checked = await check(made);
    assert.equal(checked.status, 1, checked.stdout + checked.stderr);
    for (const said of [deploy.stderr, checked.stdout + checked.stderr]) {
      assert.match(said, /"entry\.py" is Python, and Python Workers do not run here/);
      assert.match(said, /Write the Worker in JavaScript or TypeScript/);
    }
    assert.equal(await isThere("snake"), false);
  });

  it("deploy --check of what can be deployed starts it, and leaves nothing", async () => {
    await using made = await project("fine");
    const run = await check(made);
    assert.equal(run.status, 0, run.stdout + run.stderr);
    assert.match(run.stdout, /✔ fine can be deployed to /);
    assert.equal(await isThere("fine"), false);
    const staged = control.edge.staged.find(({ scriptName }) => scriptName === "fine");
    assert.ok(staged);
    assert.ok(control.edge.discarded.includes(staged.versionId));
  });

  it("deploy --check reports the refusals of the named environment, and why its Worker does not start", async () => {
    await using made = await project("app", { env: { staging: { vars: { A: "1" } } } });
    const message = "Uncaught Error: no";
    control.edge.refuseNext("app-staging", new Failure("worker_start_failed", { message }));
    const run = await check(made, "--env", "staging");
    assert.equal(run.status, 1);
    assert.match(
      run.stdout,
      /✘ Uncaught Error: no[\s\S]* do {4}[\s\S]*code {2}worker_start_failed/,
    );
    assert.match(run.stdout, /app-staging cannot be deployed to .* as it is: 1 thing to change/);
  });
});

const MUCH = {
  ai: { binding: "AI" },
  send_email: [{ name: "MAIL" }],
  services: [{ binding: "S", service: "nowhere" }],
  tail_consumers: [{ service: "nowhere" }],
};
