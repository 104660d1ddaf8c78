import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { deploy, deploys, wranglerDeploys } from "./helpers/deploy.ts";
import { counter, project } from "./helpers/durable-objects.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

const started = { args: ["--dev", "--worker-processes", "2"] };

describe("Durable Objects", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform(started);
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const ask = async (script: string, path: string): Promise<unknown> => {
    const answer = await platform.worker(script, `/${path}`);
    assert.equal(answer.status, 200, `${answer.body} ${platform.log()}`);
    return JSON.parse(answer.body);
  };
  const folders = (): string[] => {
    const root = join(platform.dataFolder, "storage", platform.ready.accountId, "objects");
    return existsSync(root) ? readdirSync(root) : [];
  };

  it("wrangler deploys a Worker with SQLite-backed objects, and again: each object goes on, its requests too", async () => {
    await using made = await wranglerProject(platform.ready, project("counted"));
    await wranglerDeploys(made);
    const numbers = await Promise.all(Array.from({ length: 20 }, () => ask("counted", "a/hit")));
    assert.deepEqual(
      numbers.map(Number).toSorted((a, b) => a - b),
      range(1, 20),
    );
    let last = 20;
    const over = new AbortController();
    const steadily = (async () => {
      while (!over.signal.aborted) assert.equal(await ask("counted", "a/hit"), ++last);
    })();
    const slow = ask("counted", "b/slow/1500");
    await made.write({ "index.js": counter("version() { return 2; }") });
    await wranglerDeploys(made);
    over.abort();
    await steadily;
    assert.equal(await slow, 1);
    assert.equal(await ask("counted", "a/version"), 2);
    assert.equal(await ask("counted", "a/hit"), last + 1);
    assert.equal(await ask("counted", "b/hit"), 2);
  });

  it("an alarm fires, also one that fell due while the platform was killed; what was answered is there", async () => {
    await using made = await wranglerProject(platform.ready, project("alarmed"));
    await deploys(made);
    await ask("alarmed", "a/wake/100");
    await until(async () => (await ask("alarmed", "a/woken")) === 1);
    await ask("alarmed", "b/wake/1000");
    const hits = Number(await ask("alarmed", "b/hit"));
    const { dataFolder, ready } = platform;
    await platform.end("SIGKILL");
    platform = await startPlatform({ ...started, dataFolder, token: ready.token });
    // Alarms run at least once: the process may have been killed during one.
    await until(async () => Number(await ask("alarmed", "b/woken")) >= 1);
    assert.equal(await ask("alarmed", "b/hit"), hits + 1);
  });

  it("its data go with the Worker, and a Worker of the same name begins with none", async () => {
    await using made = await wranglerProject(platform.ready, project("brief"));
    await deploys(made);
    assert.equal(await ask("brief", "a/hit"), 1);
    const some = folders();
    const removed = await made.run(["delete", "--force"]);
    assert.equal(removed.exitCode, 0, removed.output);
    assert.equal(folders().length, some.length - 1);
    await deploys(made);
    assert.equal(await ask("brief", "a/hit"), 1);
  });

  it("what no migration has made is not bound, and what does not follow the last migration is refused", async () => {
    await using made = await wranglerProject(platform.ready, project("strict", { migrations: [] }));
    const unmade = await made.run(["deploy"]);
    assert.equal(unmade.exitCode, 1);
    assert.match(unmade.output, /no migration has made it[\s\S]*code: 10061/);
    const unbound = { durable_objects: { bindings: [] } };
    await made.write(project("strict", unbound, "export default { fetch() {} }"));
    assert.match(await deploy(made), /does not export the class "Counter"[\s\S]*code: 10070/);
    await made.write(project("strict"));
    await deploys(made);
    await made.write(
      project("strict", { migrations: [{ tag: "v9", new_sqlite_classes: ["Counter"] }] }),
    );
    assert.match(await deploy(made), /keeps Durable Objects already[\s\S]*code: 10074/);
  });
});

function range(first: number, last: number): readonly number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
