import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { Agent, request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { scriptForm } from "./helpers/script-form.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";

const countersign = join(import.meta.dirname, "..", "bin", "countersign.js");

let folder: string;
let socketPath: string;
let platform: TestPlatform;
let url: string;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-ports-"));
  socketPath = join(folder, "shop.sock");
  const args = ["--dev", "--worker-port", "shop=0", "never=0", "--worker-socket"];
  platform = await startPlatform({ args: [...args, `shop=${socketPath}`] });
  const { workers } = platform.ready as unknown as { workers: Record<string, string[]> };
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

  it("goes on with the version before if a new one does not start", async () => {
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
    await new Promise((resolve) => setTimeout(resolve, 100));
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
    assert.match(JSON.stringify(refused.errors), /port of its own/);
  });

  it("is closed while an Access application covers the Worker, and open again after", async () => {
    const base = `/accounts/${platform.ready.accountId}/access/apps`;
    const made = await platform.api("POST", base, {
      type: "self_hosted",
      name: "shop",
      domain: "shop.localhost",
    });
    assert.equal(made.status < 300, true, JSON.stringify(made.json));
    await assert.rejects(once(url), /ECONNREFUSED/);
    await assert.rejects(atSocket("/"), /ENOENT|ECONNREFUSED/);
    assert.match(platform.log(), /worker_port_refused/);
    await platform.api("DELETE", `${base}/${made.json.result.id}`);
    await until(() =>
      atSocket("/").then(
        () => true,
        () => false,
      ),
    );
    assert.match(await atSocket("/"), /"version"/);
  });

  it("is not for a Worker with Durable Objects, which live in one process", async () => {
    const [own] = (platform.ready as unknown as { workers: Record<string, string[]> }).workers[
      "never"
    ]!;
    const code = `import { DurableObject } from "cloudflare:workers";
export class Counter extends DurableObject {}
export default { fetch: () => new Response("here") };`;
    const { status, text } = await upload(code, "never", {
      bindings: [{ type: "durable_object_namespace", name: "COUNTER", class_name: "Counter" }],
      migrations: { new_tag: "v1", steps: [{ new_sqlite_classes: ["Counter"] }] },
    });
    assert.equal(status, 200, text);
    assert.equal((await platform.worker("never")).body, "here");
    await assert.rejects(once(own!), /ECONNREFUSED/);
  });

  it("is closed to Workers, as all ports of the platform are", async () => {
    await upload(
      `export default { fetch: () => fetch(${JSON.stringify(url)}).then(() => new Response("reached"), () => new Response("refused")) }`,
      "probe",
    );
    assert.equal((await platform.worker("probe")).body, "refused");
  });
});

const WORKER = (version: string): string => `
export default { async fetch(request) {
  const { pathname, search } = new URL(request.url);
  if (pathname === "/slow") { await scheduler.wait(1500); return new Response("slow"); }
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
): Promise<{ status: number; text: string }> {
  const { api, accountId, token } = platform.ready;
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

/** On a connection of its own. */
function once(to: string): Promise<string> {
  return get({ ...optionsOf(to), agent: new Agent({ keepAlive: false }) });
}

/** As browsers and proxies do where a connection closed before it answered. */
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
  const arguments_ = [countersign, "status", "--json", "--data", platform.dataFolder];
  const { stdout } = await promisify(execFile)(process.execPath, arguments_);
  const { workers } = JSON.parse(stdout) as {
    workers: { script_name: string; state: string; pid: number }[];
  };
  return workers
    .filter((one) => one.script_name === script && one.state === "running")
    .map(({ pid }) => pid);
}
