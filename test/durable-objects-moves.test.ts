import assert from "node:assert/strict";
import { once } from "node:events";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";
import { platformClient } from "../src/cli/client/platform-client.ts";
import { masterKeyVariables } from "../src/keys/master-key.ts";
import { backUp, restore } from "../src/platform/backup/backup.ts";
import { countersign } from "./helpers/cli.ts";
import { deploy, deploys, wranglerDeploys } from "./helpers/deploy.ts";
import { counter, project } from "./helpers/durable-objects.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

/** Accepts WebSockets that outlive the object's memory, and answers with the message before. */
const ROOM = `
  fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }
  async webSocketMessage(socket, message) {
    this.heard ??= [];
    this.heard.push(message);
    for (const one of this.ctx.getWebSockets()) one.send(JSON.stringify(this.heard));
  }
  webSocketClose(socket) { socket.close(); }`;

const bound = (class_name: string): object => ({ bindings: [{ name: "COUNTER", class_name }] });

const say = async (socket: WebSocket, text: string): Promise<unknown> => {
  socket.send(text);
  const [heard] = (await once(socket, "message")) as [Buffer];
  return JSON.parse(heard.toString());
};

describe("Durable Objects that are moved", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform();
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const ask = async (script: string, path: string): Promise<unknown> => {
    const answer = await platform.worker(script, `/${path}`);
    assert.equal(answer.status, 200, `${answer.body} ${platform.log()}`);
    return JSON.parse(answer.body);
  };
  const pidOf = async (script: string): Promise<number> => {
    let pids: readonly (number | null)[] = [];
    await until(async () => {
      const { workers } = await platformClient(platform.dataFolder).status();
      pids = workers
        .filter(({ scriptName, state }) => scriptName === script && state === "running")
        .map(({ pid }) => pid);
      return pids.length === 1;
    });
    return pids[0]!;
  };
  const folders = (): string[] =>
    readdirSync(join(platform.dataFolder, "storage", platform.ready.accountId, "objects"));

  it("wrangler renames a class with its objects, deletes it with them, and cannot go back", async () => {
    const v1 = { tag: "v1", new_classes: ["Counter"] };
    const v2 = { tag: "v2", renamed_classes: [{ from: "Counter", to: "Tally" }] };
    const v3 = { tag: "v3", deleted_classes: ["Tally"], new_sqlite_classes: ["Counter"] };
    await using made = await wranglerProject(
      platform.ready,
      project("renamed", { migrations: [v1] }),
    );
    await wranglerDeploys(made);
    assert.equal(await ask("renamed", "a/old"), 1);
    const no = await platform.worker("renamed", "/a/hit");
    assert.equal(no.status, 500, "legacy objects have no SQL");
    const { json } = await platform.api(
      "GET",
      "/accounts/{account}/workers/scripts/renamed/deployments",
    );
    const [{ version_id: old }] = json.result.deployments[0].versions;
    await made.write(
      project(
        "renamed",
        { migrations: [v1, v2], durable_objects: bound("Tally") },
        counter("", "Tally"),
      ),
    );
    await wranglerDeploys(made);
    assert.equal(await ask("renamed", "a/old"), 2);
    const back = await made.run(["rollback", old, "--yes"]);
    assert.match(back.output, /names the class "Counter", which keeps no Durable Objects/);
    const kept = folders();
    await made.write(project("renamed", { migrations: [v1, v2, v3] }));
    await wranglerDeploys(made);
    assert.equal(await ask("renamed", "a/old"), 1);
    assert.equal(await ask("renamed", "a/hit"), 1);
    assert.equal(folders().filter((id) => kept.includes(id)).length, kept.length - 1);
    assert.doesNotMatch(platform.log(), /objects were not removed/);
    const listed = await platform.api(
      "GET",
      "/accounts/{account}/workers/durable_objects/namespaces",
    );
    const own = listed.json.result.filter(({ script }: { script: string }) => script === "renamed");
    assert.deepEqual(
      own.map((one: object) => ({ ...one, id: "" })),
      [{ id: "", name: "renamed_Counter", script: "renamed", class: "Counter", use_sqlite: true }],
    );
  });

  it("a class is transferred with its objects once the Worker that had it no longer binds it", async () => {
    await using from = await wranglerProject(platform.ready, project("source"));
    await deploys(from);
    assert.equal(await ask("source", "a/hit"), 1);
    const transfer = { from: "Counter", from_script: "source", to: "Counter" };
    const target = project("target", {
      migrations: [{ tag: "t1", transferred_classes: [transfer] }],
    });
    await using to = await wranglerProject(platform.ready, target);
    assert.match(
      await deploy(to),
      /"source", which the class "Counter" is transferred from, binds it/,
    );
    await from.write(project("source", { durable_objects: { bindings: [] } }));
    await deploys(from);
    await deploys(to);
    assert.equal(await ask("target", "a/hit"), 2);
    assert.equal((await platform.worker("source", "/a/hit")).status, 500);
  });

  it("a WebSocket whose object hibernates goes through the ingress; a deploy closes it and takes the next", async () => {
    const code = counter(ROOM).replace(
      "const [name,",
      `if (request.headers.has("upgrade")) return env.COUNTER.getByName("room").fetch(request);
    const [name,`,
    );
    await using made = await wranglerProject(platform.ready, project("rooms", {}, code));
    await deploys(made);
    const { port } = new URL(platform.ready.http);
    const open = async (): Promise<WebSocket> => {
      const headers = { host: `rooms.localhost:${port}` };
      const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { headers });
      await once(socket, "open");
      return socket;
    };
    const first = await open();
    assert.deepEqual(await say(first, "one"), ["one"]);
    assert.deepEqual(await say(first, "two"), ["one", "two"]);
    const closed = once(first, "close");
    await made.write({ "index.js": `${code}\n// again` });
    await deploys(made);
    await closed;
    const second = await open();
    assert.deepEqual(await say(second, "three"), ["three"]);
    second.terminate();
  });

  it("what an object has acknowledged is there after its process was killed while it wrote", async () => {
    await using made = await wranglerProject(platform.ready, project("killed"));
    await deploys(made);
    let acknowledged = 0;
    let sent = 0;
    const over = new AbortController();
    const writing = (async () => {
      while (!over.signal.aborted) {
        sent++;
        const answer = await platform.worker("killed", "/a/hit").catch(() => null);
        if (answer?.status === 200) acknowledged++;
      }
    })();
    for (let kill = 0; kill < 4; kill++) {
      const some = acknowledged;
      await until(() => Promise.resolve(acknowledged > some + 3));
      process.kill(await pidOf("killed"), "SIGKILL");
    }
    over.abort();
    await writing;
    await until(async () => (await platform.worker("killed", "/b/woken")).status === 200);
    const found = Number(await ask("killed", "a/hit")) - 1;
    assert.ok(found >= acknowledged && found <= sent, `${acknowledged} ≤ ${found} ≤ ${sent}`);
  });

  it("a Worker's process sees the objects of its own classes, and of no other Worker", async (t) => {
    const mounted = readFileSync(`/proc/${await pidOf("killed")}/mountinfo`, "utf8");
    if (!mounted.includes("/workerd ")) return t.skip("there is no sandbox here");
    const ids = folders().filter((id) => mounted.includes(id));
    assert.equal(ids.length, 1);
    assert.ok(folders().length > 1);
  });

  it("deploy --check says what a migration would be refused for", async () => {
    await using made = await wranglerProject(platform.ready, project("killed"));
    // Like a project that has installed its own tools.
    symlinkSync(join(import.meta.dirname, "../node_modules"), join(made.folder, "node_modules"));
    const checked = async (...migrations: readonly object[]): Promise<string> => {
      await made.write(project("killed", { migrations }));
      const env = {
        HOME: made.folder,
        CLOUDFLARE_API_BASE_URL: platform.ready.api,
        CLOUDFLARE_API_TOKEN: platform.ready.token,
        CLOUDFLARE_ACCOUNT_ID: platform.ready.accountId,
        NO_COLOR: "1",
      };
      return (await countersign(["deploy", "--check"], { cwd: made.folder, env })).stdout;
    };
    const v1 = { tag: "v1", new_sqlite_classes: ["Counter"] };
    assert.match(await checked(v1), /can be deployed/);
    assert.match(await checked({ ...v1, tag: "v0" }), /object_class_exists/);
  });

  it("a backup has the objects, and a restore gives them back", async () => {
    const { dataFolder, ready } = platform;
    const scratch = mkdtempSync(join(tmpdir(), "countersign-backup-"));
    try {
      const file = join(scratch, "backup.db");
      const hits = Number(await ask("killed", "a/hit"));
      backUp({ dataFolder, file, force: false });
      await ask("killed", "a/hit");
      const restored = join(scratch, "restored");
      mkdirSync(restored, { mode: 0o700 });
      copyFileSync(join(dataFolder, "master.key"), join(restored, "master.key"));
      const variables = masterKeyVariables({});
      await restore({ dataFolder: restored, file, force: true, variables, now: new Date() });
      await platform[Symbol.asyncDispose]();
      platform = await startPlatform({ dataFolder: restored, token: ready.token });
      assert.equal(await ask("killed", "a/hit"), hits + 1);
      assert.equal(await ask("target", "a/hit"), 3);
    } finally {
      await platform[Symbol.asyncDispose]();
      rmSync(scratch, { recursive: true, force: true });
      rmSync(dataFolder, { recursive: true, force: true });
    }
  });
});
