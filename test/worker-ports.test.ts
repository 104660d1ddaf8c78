import { wranglerProject } from "./helpers/wrangler.ts";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once as onceEvent } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { countersign as cli } from "./helpers/cli.ts";
import { deploys } from "./helpers/deploy.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { type Envelope, startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";
import { until } from "./helpers/until.ts";

let folder: string;
let socketPath: string;
let platform: TestPlatform;
let url: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-ports-"));
  socketPath = join(folder, "shop.sock");
  const args = ["--dev", "--worker-port", "shop=0", "never=0", "site=0", "--worker-socket"];
  platform = await startPlatform({ args: [...args, `shop=${socketPath}`] });
  const workers = platform.ready.workers!;
  url = workers["shop"]!.find((one) => one.startsWith("http://127.0.0.1:"))!;
  assert.ok(workers["shop"]!.includes(socketPath), JSON.stringify(workers));
  await deploy("one");
});

after(async () => {
  await platform[Symbol.asyncDispose]();
  assert.equal(existsSync(socketPath), false, "the socket goes with the platform");
  rmSync(folder, { recursive: true, force: true });
});

describe("a port of a Worker's own", () => {
  it("answers every host, over TCP and at a Unix socket, without the ingress", async () => {
    const seen = JSON.parse(await (await fetch(`${url}/path?a=1`)).text());
    assert.deepEqual(
      Object.keys(seen.cf),
      ["clientIp"],
      "workerd's own, and nothing of Cloudflare's",
    );
    assert.deepEqual({ ...seen, cf: 0 }, { version: "one", path: "/path?a=1", cf: 0, ray: null });
    assert.match(await atSocket("/x"), /"version":"one"/);
    // The ingress answers for it, too.
    assert.match((await platform.worker("shop")).body, /"version":"one"/);
  });

  it("is named by `countersign status`, beside the names at the ingress", async () => {
    const { stdout } = await cli(["status", "--data", platform.dataFolder, "--json"]);
    const { workers } = JSON.parse(stdout) as {
      workers: { script_name: string; urls: string[] }[];
    };
    const shop = workers.find((one) => one.script_name === "shop")!;
    assert.ok(shop.urls.includes(`${url}/`), stdout);
    assert.ok(shop.urls.includes(`unix:${socketPath}`), stdout);
  });

  it("loses no request at its socket while the Worker is deployed ten times, and none at its port that is sent again", async () => {
    const over = new AbortController();
    const failed: string[] = [];
    const answered = { port: 0, socket: 0, again: 0 };
    const ask = async (way: "port" | "socket"): Promise<void> => {
      while (!over.signal.aborted) {
        try {
          const text = await (way === "port" ? retried(() => answered.again++) : atSocket("/"));
          if (/"version":"(v\d|one)"/.test(text)) answered[way]++;
          else failed.push(`${way}: ${text}`);
        } catch (error) {
          failed.push(`${way}: ${String(error)}`);
        }
      }
    };
    const clients = (["port", "port", "socket", "socket"] as const).map(ask);
    try {
      for (let n = 0; n < 10; n++) await deploy(`v${n}`);
      assert.match(await atSocket("/"), /"version":"v9"/, "in force once it is acknowledged");
    } finally {
      over.abort();
      await Promise.all(clients);
    }
    assert.deepEqual(failed, []);
    assert.ok(answered.port > 50 && answered.socket > 50, JSON.stringify(answered));
    assert.ok(answered.again <= 40, "only what had just connected to a process that went");
  });

  it("keeps the previous version if a new one does not start", async () => {
    const earlier = await (await fetch(url)).text();
    const { status } = await upload('throw new Error("at start"); export default { fetch() {} }');
    assert.notEqual(status, 200);
    assert.equal(await (await fetch(url)).text(), earlier);
  });

  it("lets connections wait while a process that was killed is started again", async () => {
    const pids = await pidsOf("shop");
    assert.ok(pids.length >= 3, `one for the ingress, one for each door: ${pids.join(", ")}`);
    for (const pid of pids) process.kill(pid, "SIGKILL");
    assert.match(await once(url), /"version"/);
  });

  it("lets requests in flight end when their version is replaced", async () => {
    const slow = fetch(`${url}/slow`).then((response) => response.text());
    await until(async () => (await (await fetch(`${url}/came`)).text()) === "true");
    await deploy("after");
    assert.match(await slow, /slow/);
  });

  it("is not for several versions at once", async () => {
    const { accountId } = platform.ready;
    const base = `/accounts/${accountId}/workers/scripts/shop`;
    const { json } = await platform.api("GET", `${base}/versions`);
    const [first, second] = json.result.items as { id: string }[];
    const { status, json: refused } = await platform.api("POST", `${base}/deployments`, {
      strategy: "percentage",
      versions: [
        { version_id: first!.id, percentage: 50 },
        { version_id: second!.id, percentage: 50 },
      ],
    });
    assert.equal(status, 409);
    assert.match(refused.errors[0]!.message, /port of its own, and several versions/);
    const { json: left } = await platform.api("GET", `${base}/deployments`);
    assert.equal(left.result.deployments[0].versions.length, 1);
  });

  it("keeps away what the Worker would not do there: Access, client certificates, hosts below them", async () => {
    const account = "/accounts/{account}";
    const clients = { mode: "required", authorities: ["managed"] };
    const done = async (method: string, path: string, body?: unknown): Promise<Envelope> => {
      const { json } = await platform.api(method, `${account}/${path}`, body);
      assert.deepEqual(json.errors, [], path);
      return json;
    };
    const route = { pattern: "shop.example.com/cart/*" };
    await done("PUT", "workers/scripts/shop/routes", [route]);
    const app = await done("POST", "access/apps", application("behind.example.com/x"));
    await done("PUT", "countersign/hosts/asking.example.com/clients", clients);
    const { json: zones } = await platform.api("GET", "/zones?name=example.com");
    const zone = zones.result[0].id as string;

    const changes: readonly (readonly [string, string, unknown, RegExp])[] = [
      ["POST", `${account}/access/apps`, application("shop.localhost"), /shop\.localhost/],
      ["POST", `${account}/access/apps`, application("*.example.com/other"), /\*\.example\.com/],
      [
        "PUT",
        `${account}/access/apps/${app.result.id}`,
        application("shop.example.com"),
        /shop\.example\.com/,
      ],
      ["PUT", `${account}/countersign/hosts/shop.example.com/clients`, clients, /certificates/],
      [
        "PUT",
        `/zones/${zone}/certificate_authorities/hostname_associations`,
        { hostnames: ["asking.example.com", "shop.example.com"] },
        /certificates/,
      ],
      [
        "PUT",
        `${account}/workers/scripts/shop/routes`,
        [{ pattern: "*.example.com/*" }],
        /behind\.example\.com/,
      ],
      [
        "POST",
        `/zones/${zone}/workers/routes`,
        { pattern: "asking.example.com/*", script: "shop" },
        /asking\.example\.com/,
      ],
      [
        "PUT",
        `${account}/workers/domains`,
        { hostname: "behind.example.com", service: "shop", environment: "production" },
        /behind\.example\.com/,
      ],
    ];
    const held = async (): Promise<unknown[]> => {
      const all = ["access/apps", "countersign/hosts/clients", "workers/domains"];
      const answers = all.map((path) => platform.api("GET", `${account}/${path}`));
      const routes = platform.api("GET", `/zones/${zone}/workers/routes`);
      return (await Promise.all([...answers, routes])).map(({ json }) => json.result);
    };
    const unchanged = await held();
    for (const [method, path, body, why] of changes) {
      const { status, json } = await platform.api(method, path, body);
      assert.equal(status, 409, `${method} ${path} ${JSON.stringify(json)}`);
      assert.equal(json.errors[0]!.code, REFUSED);
      assert.match(json.errors[0]!.message, /"shop" has a port of its own/);
      assert.match(json.errors[0]!.message, why);
    }
    assert.deepEqual(await held(), unchanged, "nothing was changed");
    assert.match(await once(url), /"version"/);
    // Other Workers may have all of these.
    await done("POST", "access/apps", application("other.localhost"));
  });

  it("keeps a Worker away whose host is behind Access before its first deploy", async () => {
    const app = { type: "self_hosted", name: "a", domain: "never.localhost" };
    const made = await platform.api("POST", "/accounts/{account}/access/apps", app);
    assert.deepEqual(made.json.errors, []);
    const refused = await upload(WORKER("never"), "never");
    assert.equal(refused.status, 409, refused.text);
    assert.match(refused.text, /an Access application for never\.localhost covers it/);
    const none = await platform.api("GET", "/accounts/{account}/workers/scripts/never/versions");
    assert.equal(none.status, 404);
    await platform.api("DELETE", `/accounts/{account}/access/apps/${made.json.result.id}`);
    const taken = await upload(WORKER("never"), "never");
    assert.equal(taken.status, 200, taken.text);
  });

  it("is not for a Worker with Durable Objects, which live in one process", async () => {
    const [own] = platform.ready.workers!["never"]!;
    const code = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {}
export default { fetch: () => new Response("here") };`;
    const { status, text } = await upload(code, "never", {
      bindings: [{ type: "durable_object_namespace", name: "COUNTER", class_name: "Counter" }],
      migrations: { new_tag: "v1", steps: [{ new_sqlite_classes: ["Counter"] }] },
    });
    assert.equal(status, 409, text);
    assert.match(text, /has a port of its own, and the Durable Objects of its class/);
    const kept = await platform.api(
      "GET",
      "/accounts/{account}/workers/durable_objects/namespaces",
    );
    assert.deepEqual(kept.json.result, []);
    assert.match(await once(own!), /"version":"never"/);
  });

  it("serves a Worker's files, also where it has no code", async () => {
    const [own] = platform.ready.workers!["site"]!;
    const { api, token, accountId } = platform.ready;
    await using project = await wranglerProject(
      { api, token, accountId },
      {
        "public/index.html": "<h1>here</h1>",
        "wrangler.json": {
          name: "site",
          compatibility_date: "2026-11-01",
          assets: { directory: "public" },
        },
      },
    );
    await deploys(project);
    assert.match(await once(own!), /here/);
  });

  it("is closed to Workers, as all ports of the platform are", async () => {
    await upload(
      `export default { fetch: () => fetch(${JSON.stringify(url)}).then(() => new Response("reached"), () => new Response("refused")) }`,
      "probe",
    );
    assert.equal((await platform.worker("probe")).body, "refused");
  });
});

describe("a start with a port of a Worker's own", () => {
  let data: string;
  before(() => {
    data = mkdtempSync(join(tmpdir(), "countersign-ports-"));
  });
  after(() => rmSync(data, { recursive: true, force: true }));

  const refused = async (code: string, ...args: string[]): Promise<void> => {
    const ports = ["--api-port", "0", "--http-port", "0"];
    const run = await cli(["start", "--json", "--data", data, ...ports, ...args]);
    assert.equal(run.status, code === "usage" ? 2 : 1, run.stderr);
    assert.equal(JSON.parse(run.stdout).error.code, code);
  };

  it("is refused where the Worker is behind Access already; other accounts have ports, too", async () => {
    let other: string;
    {
      await using earlier = await startPlatform({ dataFolder: data });
      const app = { type: "self_hosted", name: "a", domain: "shop.localhost" };
      const made = await earlier.api("POST", "/accounts/{account}/access/apps", app);
      assert.deepEqual(made.json.errors, []);
      const uploaded = await upload(WORKER("one"), "shop", {}, earlier);
      assert.equal(uploaded.status, 200, uploaded.text);
      const added = await cli(["account", "add", "Other", "--json", "--data", data]);
      other = JSON.parse(added.stdout).id as string;
      assert.match(other, /^[0-9a-f]{32}$/, added.stdout);
    }
    await refused("worker_port_refused", "--worker-port", "shop=0");
    await refused("account_not_found", "--worker-port", `${"0".repeat(32)}/shop=0`);
    await refused("usage", "--worker-port", "8080");
    await using later = await startPlatform({
      dataFolder: data,
      args: ["--worker-port", `${other}/shop=0`],
    });
    assert.match(later.ready.workers![`${other}/shop`]![0]!, /^http:\/\/127\.0\.0\.1:/);
  });

  it("is refused where something else is at the path of the socket, which stays", async () => {
    const file = join(data, "file");
    writeFileSync(file, "mine");
    await refused("worker_socket_taken", "--worker-socket", `free=${file}`);
    assert.equal(readFileSync(file, "utf8"), "mine");
    const path = join(data, "taken.sock");
    const taken = createServer((socket) => socket.destroy()).listen(path);
    try {
      await onceEvent(taken, "listening");
      await refused("worker_socket_taken", "--worker-socket", `free=${path}`);
      assert.equal(existsSync(path), true);
    } finally {
      taken.close();
    }
  });
});

function application(domain: string): object {
  return { type: "self_hosted", name: "a", domain };
}

/** The number of `worker_port_refused`. */
const REFUSED = 7000160;

const WORKER = (version: string): string => `
let came = false;
export default { async fetch(request) {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/came") return new Response(String(came));
  if (pathname === "/slow") { came = true; await scheduler.wait(1500); return new Response("slow"); }
  return Response.json({ version: ${JSON.stringify(version)}, path: pathname + search,
    cf: request.cf ?? null, ray: request.headers.get("cf-ray") });
} };`;

async function deploy(version: string): Promise<void> {
  const { status, text } = await upload(WORKER(version));
  assert.equal(status, 200, text);
}

async function upload(
  code: string,
  name = "shop",
  metadata: object = {},
  to: TestPlatform = platform,
): Promise<{ status: number; text: string }> {
  const { api, accountId, token } = to.ready;
  const response = await fetch(`${api}/accounts/${accountId}/workers/scripts/${name}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: scriptForm(
      { compatibility_date: "2026-11-01", ...metadata },
      { "index.js": ["application/javascript+module", code] },
    ),
  });
  return { status: response.status, text: await response.text() };
}

/** On a new connection. */
function once(to: string): Promise<string> {
  return get({ ...optionsOf(to), agent: new Agent({ keepAlive: false }) });
}

/** Repeats a request, as browsers and proxies do when a connection closes before an answer. */
async function retried(again: () => void): Promise<string> {
  for (let tries = 0; tries < 3; tries++) {
    try {
      return await once(url);
    } catch (error) {
      if (!/socket hang up|ECONNRESET/.test(String(error))) throw error;
      again();
    }
  }
  return once(url);
}

function atSocket(path: string): Promise<string> {
  return get({ socketPath, path, agent: false });
}

function optionsOf(to: string): { host: string; port: string } {
  const { hostname, port } = new URL(to);
  return { host: hostname, port };
}

function get(options: object): Promise<string> {
  return new Promise((resolve, reject) => {
    httpRequest(options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text)).on("error", reject);
    })
      .on("error", reject)
      .end();
  });
}

async function pidsOf(script: string): Promise<number[]> {
  const arguments_ = [program, "status", "--json", "--data", platform.dataFolder];
  const { stdout } = await promisify(execFile)(process.execPath, arguments_);
  const { workers } = JSON.parse(stdout) as {
    workers: { script_name: string; state: string; pid: number }[];
  };
  return workers
    .filter((one) => one.script_name === script && one.state === "running")
    .map(({ pid }) => pid);
}
