import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { WebSocket } from "ws";
import { platformClient } from "../src/cli/client/platform-client.ts";
import { deploys } from "./helpers/deploy.ts";
import { counter, project } from "./helpers/durable-objects.ts";
import { type Envelope, startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { until } from "./helpers/until.ts";
import { wranglerProject } from "./helpers/wrangler.ts";

const KEEPER = `
  echo(value) { return { value, name: this.ctx.id.name ?? null, id: this.ctx.id.toString() }; }
  get seven() { return 7; }
  fail() { throw new TypeError("not today"); }
  add(to) { return to(2); }
  async fetch(request) {
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      this.ctx.acceptWebSocket(server);
      return new Response(null, { status: 101, webSocket: client });
    }
    const header = request.headers.get("cs-object");
    return Response.json([request.method, request.url, await request.text(), header, this.ctx.id.name]);
  }
  webSocketMessage(ws, message) { ws.send("to " + this.ctx.id.name + ": " + message); }`;

const USER = `export default {
  async fetch(request, env) {
    const [name, method] = new URL(request.url).pathname.slice(1).split("/");
    const stub = env.COUNTER.getByName(name);
    if (method === undefined) return stub.fetch(request);
    try {
      if (method === "ids") {
        const id = env.COUNTER.idFromName(name);
        const byId = await env.COUNTER.get(env.COUNTER.idFromString(id.toString())).hit();
        const fresh = env.COUNTER.newUniqueId();
        return Response.json([id.toString(), byId, (await env.COUNTER.get(fresh).echo(1)).id === fresh.toString()]);
      }
      if (method === "read") return Response.json(await stub.seven);
      if (method === "post") return stub.fetch("https://an.object/path?query", { method: "POST", body: "said", headers: { "cs-object": "mine" } });
      if (method === "add") return Response.json(await stub.add((n) => n + 40));
      return Response.json(await stub[method](name));
    } catch (error) {
      return Response.json({ name: error.name, message: error.message });
    }
  },
};`;

const user = (name: string, keeper: string, code = USER): Record<string, string | object> => {
  const bindings = [{ name: "COUNTER", class_name: "Counter", script_name: keeper }];
  return project(name, { durable_objects: { bindings }, migrations: [] }, code);
};

describe("Durable Objects of another Worker", () => {
  let platform: TestPlatform;
  before(async () => {
    platform = await startPlatform({ args: ["--dev", "--worker-processes", "2"] });
  });
  after(() => platform?.[Symbol.asyncDispose]());

  const ask = async (script: string, path: string): Promise<unknown> => {
    const answer = await platform.worker(script, `/${path}`);
    assert.equal(answer.status, 200, `${answer.body} ${platform.log()}`);
    return JSON.parse(answer.body);
  };

  const running = async (script: string): Promise<(number | null)[]> =>
    (await platformClient(platform.dataFolder).status()).workers
      .filter(({ scriptName, state }) => scriptName === script && state === "running")
      .map(({ pid }) => pid);

  const deploy = async (name: string, code: string, metadata: object): Promise<Envelope> => {
    const form = scriptForm(
      { compatibility_date: "2026-11-01", ...metadata },
      { "index.js": ["application/javascript+module", code] },
    );
    const path = `/accounts/{account}/workers/scripts/${name}`;
    return (await platform.api("PUT", path, form)).json;
  };
  const succeeds = async (...script: Parameters<typeof deploy>): Promise<void> => {
    const { success, errors } = await deploy(...script);
    assert.ok(success, JSON.stringify(errors));
  };

  it("calls, errors, functions, ids, requests and WebSockets reach the very objects, from each process of the Worker", async () => {
    await using keeper = await wranglerProject(
      platform.ready,
      project("keeper", {}, counter(KEEPER)),
    );
    await deploys(keeper);
    await using made = await wranglerProject(platform.ready, user("user", "keeper"));
    await deploys(made);
    assert.equal(await ask("user", "z/hit"), 1);
    assert.equal(await ask("user", "z/read"), 7);
    const numbers = await Promise.all([
      ...Array.from({ length: 10 }, () => ask("user", "a/hit")),
      ...Array.from({ length: 10 }, () => ask("keeper", "a/hit")),
    ]);
    assert.deepEqual(
      numbers.map(Number).toSorted((a, b) => a - b),
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    assert.deepEqual(await ask("user", "a/fail"), { name: "TypeError", message: "not today" });
    assert.equal(await ask("user", "a/add"), 42);
    const { id } = (await ask("keeper", "a/echo")) as { id: string };
    assert.deepEqual(await ask("user", "a/echo"), { value: "a", name: "a", id });
    assert.deepEqual(await ask("user", "a/ids"), [id, 21, true]);
    const posted = ["POST", "https://an.object/path?query", "said", null, "b"];
    assert.deepEqual(await ask("user", "b/post"), posted);
    const { port } = new URL(platform.ready.http);
    const headers = { host: `user.localhost:${port}` };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/c`, { headers });
    await once(socket, "open");
    socket.send("hello");
    const [message] = (await once(socket, "message")) as [Buffer];
    assert.equal(message.toString(), "to c: hello");
    socket.terminate();
  });

  it("a binding stays with the objects: renamed, deleted with their Worker; and needs a class that keeps some", async () => {
    const early = await deploy("guest", USER, { bindings: [bound("host")] });
    assert.equal(early.errors[0]?.code, 10061);
    assert.match(early.errors[0].message, /class "Counter" of the Worker "host"/);
    await succeeds("host", counter(), { migrations: { new_tag: "v1", ...made } });
    await succeeds("guest", USER, { bindings: [bound("host")] });
    assert.equal(await ask("guest", "a/hit"), 1);
    const renamed_classes = [{ from: "Counter", to: "Renamed" }];
    const migrations = { old_tag: "v1", new_tag: "v2", renamed_classes };
    await succeeds("host", counter("", "Renamed"), { migrations });
    assert.equal(await ask("guest", "a/hit"), 2);
    const path = "/accounts/{account}/workers/scripts/host";
    assert.equal((await platform.api("DELETE", path)).json.errors[0]?.code, 10064);
    await using folder = await wranglerProject(platform.ready, {
      "wrangler.jsonc": { name: "host" },
    });
    // Without a terminal it cannot ask: it prints who binds the Worker, and continues.
    const { output } = await folder.run(["delete"]);
    assert.match(output, /guest .*binding to the Durable Object Namespace "host_Renamed"/);
    const { message } = (await ask("guest", "a/hit")) as { message: string };
    assert.match(message, /error 7000305 \(service_not_deployed\)/);
    assert.equal((await platform.worker("guest", "/a")).status, 503);
    const again = await deploy("guest", USER, { bindings: [bound("host")] });
    assert.equal(again.errors[0]?.code, 10061);
  });

  it("a class is deleted that others bind: their calls say so, they go on, and a new class has other objects", async () => {
    const keeps = { name: "COUNTER", type: "durable_object_namespace", class_name: "Counter" };
    const first = { new_tag: "v1", ...made };
    await succeeds("drops", counter(), { bindings: [keeps], migrations: first });
    await succeeds("left", USER, { bindings: [bound("drops")] });
    assert.equal(await ask("left", "a/hit"), 1);
    const dropped = { old_tag: "v1", new_tag: "v2", deleted_classes: ["Counter"] };
    await succeeds("drops", "export default { fetch() {} };", { migrations: dropped });
    const gone = async (): Promise<void> => {
      const { message } = (await ask("left", "a/hit")) as { message: string };
      assert.match(message, /error 7000305 \(service_not_deployed\)/);
      const answer = await platform.worker("left", "/a");
      assert.deepEqual([answer.status, /7000305/.test(answer.body)], [503, true]);
    };
    await gone();
    const refused = await deploy("left", USER, { bindings: [bound("drops")] });
    assert.equal(refused.errors[0]?.code, 10061);
    const old = await running("left");
    for (const pid of old) process.kill(pid!, "SIGKILL");
    // New processes of the other Worker start all the same.
    await until(async () => {
      const now = await running("left");
      return now.length === old.length && now.every((pid) => !old.includes(pid));
    });
    await gone();
    const again = { old_tag: "v2", new_tag: "v3", ...made };
    await succeeds("drops", counter(), { bindings: [keeps], migrations: again });
    await gone();
    await succeeds("left", USER, { bindings: [bound("drops")] });
    assert.equal(await ask("left", "a/hit"), 1, "what was deleted does not come back");
  });

  it("without a binding that names the class no way leads to another Worker's objects", async () => {
    const named = { name: "COUNTER", type: "durable_object_namespace", class_name: "Counter" };
    await succeeds("safe", counter(KEEPER), {
      bindings: [named],
      migrations: { new_tag: "v1", ...made },
    });
    await succeeds("friend", USER, { bindings: [bound("safe")] });
    assert.equal(await ask("friend", "a/hit"), 1);
    const { json } = await platform.api(
      "GET",
      "/accounts/{account}/workers/durable_objects/namespaces",
    );
    const all = json.result as readonly { readonly id: string; readonly script: string }[];
    const { id } = all.find(({ script }) => script === "safe")!;
    const safe = { name: "SAFE", type: "service", service: "safe" };
    // Names of doors are reserved for the platform: no binding of a Worker leads to a door.
    for (const entrypoint of [`objects ${id}`, "the events of the platform", "a b", "[null,{}]"]) {
      const { errors } = await deploy("stranger", STRANGER, {
        bindings: [{ ...safe, entrypoint }],
      });
      assert.equal(errors[0]?.code, 10021, entrypoint);
    }
    await succeeds("stranger", STRANGER, { bindings: [safe] });
    const which = encodeURIComponent(JSON.stringify({ name: "a" }));
    assert.deepEqual(await ask("stranger", `?${which}`), {
      called: "TypeError",
      // The request reached the Worker's own handler, which takes an object's name as a path.
      fetched: 500,
    });
    assert.equal(await ask("friend", "a/hit"), 2, "nothing else has counted");
  });

  it("objects that are transferred are reached where they are kept then", async () => {
    await succeeds("from", counter(), { migrations: { new_tag: "v1", ...made } });
    await succeeds("follower", USER, { bindings: [bound("from")] });
    assert.equal(await ask("follower", "a/hit"), 1);
    const move = { from: "Counter", from_script: "from", to: "Counter" };
    await succeeds("to", counter(), {
      bindings: [{ type: "durable_object_namespace", name: "COUNTER", class_name: "Counter" }],
      migrations: { new_tag: "v1", transferred_classes: [move] },
    });
    assert.equal(await ask("to", "a/hit"), 2);
    assert.equal(await ask("follower", "a/hit"), 3);
  });
});

/** Speaks to a Worker in the platform's own protocol for the objects of another Worker. */
const STRANGER = `export default {
  async fetch(request, env) {
    const which = new URL(request.url).search.slice(1);
    const called = await env.SAFE["object " + which].hit().catch(({ name }) => name);
    const headers = { "cs-object": which, "cs-url": "https://an.object/" };
    const answer = await env.SAFE.fetch("https://an.object/", { headers });
    return Response.json({ called, fetched: answer.status });
  },
};`;

const made = { new_sqlite_classes: ["Counter"] };

function bound(script: string): object {
  const type = "durable_object_namespace";
  return { type, name: "COUNTER", class_name: "Counter", script_name: script };
}
