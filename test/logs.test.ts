import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { stop, transform } from "esbuild";
import type { KeptEntry } from "../src/contract/journal.ts";
import { countersign, type CliRun } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";
import { wranglerTail } from "./helpers/wrangler-tail.ts";
import { scriptForm } from "./helpers/script-form.ts";
import { setTimeout as delay } from "node:timers/promises";

const SOURCE = `
interface Env { CERT: { fetch(url: string): Promise<Response> } }

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const pathname = decodeURI(new URL(request.url).pathname);
    console.log("at", { pathname });
    if (pathname === "/throw") throw new TypeError("no such thing");
    if (pathname === "/origin") return env.CERT.fetch("https://127.0.0.1:9/");
    return new Response("hello");
  },
};
`;

describe("the log of a Worker", () => {
  let platform: TestPlatform;
  let certificateId: string;
  before(async () => {
    platform = await startPlatform();
    const leaf = await (await makeAuthority()).issue({ subject: "CN=app" });
    const body = { certificates: leaf.pem, private_key: leaf.key, ca: false };
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    certificateId = json.result.id;
  });
  after(async () => {
    await stop();
    await platform[Symbol.asyncDispose]();
  });

  const deploy = async (name: string, more: object = {}): Promise<void> => {
    const { code, map } = await transform(SOURCE, {
      loader: "ts",
      sourcemap: "external",
      sourcefile: "src/shop.ts",
    });
    const metadata = {
      compatibility_date: "2026-11-01",
      bindings: [{ name: "CERT", type: "mtls_certificate", certificate_id: certificateId }],
      ...more,
    };
    const form = scriptForm(metadata, {
      "index.js": ["application/javascript+module", code],
      "index.js.map": ["application/source-map", map],
    });
    const { json } = await platform.api("PUT", `/accounts/{account}/workers/scripts/${name}`, form);
    assert.deepEqual(json.errors, []);
  };
  const logs = (...args: readonly string[]): Promise<CliRun> =>
    countersign(["logs", ...args, "--data", platform.dataFolder], { env: { NO_COLOR: "1" } });
  const kept = async (...args: readonly string[]): Promise<KeptEntry[]> => {
    const { stdout } = await logs(...args, "--json");
    return stdout.trim() === ""
      ? []
      : stdout
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line));
  };
  const rayOf = async (script: string, path: string): Promise<string> =>
    String((await platform.worker(script, path)).headers["cf-ray"]);

  it("has each request with its time, and what its client got in cf-ray finds it", async () => {
    await deploy("shop", { observability: { enabled: true } });
    const ray = await rayOf("shop", "/basket?token=secret");
    await rayOf("shop", "/other");
    const [entry, ...more] = await found(async () => {
      const all = await kept("shop", "--ray", ray);
      return all.length > 0 ? all : null;
    });
    assert.equal(more.length, 0);
    assert.equal(entry!.outcome, "ok");
    assert.deepEqual(entry!.logs[0]?.message, ["at", { pathname: "/basket" }]);
    assert.deepEqual(entry!.event?.["response"], { status: 200 });
    assert.ok(entry!.wallTime > 0 && entry!.cpuTime > 0, JSON.stringify(entry));
    const { stdout, status } = await logs("--ray", ray);
    assert.equal(status, 0);
    assert.match(
      stdout,
      /shop {2}GET http:\/\/shop\.localhost:\d+\/basket\?\S+ 200 {2}ok .* ms, cpu .* ms {2}ray /,
    );
    assert.match(stdout, /\n {4}\(log\) at \{"pathname":"\/basket"\}/);
  });

  for (const enabled of [false, true]) {
    it(`has a line as one entry, whichever characters it has, ${enabled ? "with" : "without"} its request`, async () => {
      const name = enabled ? "lines-traced" : "lines";
      await deploy(name, { observability: { enabled } });
      await rayOf(name, "/one%E2%80%A8two%E2%80%A9three");
      const [entry, ...more] = await found(async () => {
        const all = await kept(name);
        return all.length > 0 ? all : null;
      });
      assert.equal(more.length, 0, JSON.stringify(more));
      assert.match(JSON.stringify(entry!.logs), /one\u2028two\u2029three/);
    });
  }

  it("shows who reads along each request, of a Worker that keeps none otherwise", async () => {
    await deploy("followed");
    const { api: CLOUDFLARE_API_BASE_URL, token, accountId } = platform.ready;
    const reader = spawn(process.execPath, [program, "logs", "followed", "--follow", "--json"], {
      env: {
        ...process.env,
        CLOUDFLARE_API_BASE_URL,
        CLOUDFLARE_API_TOKEN: token,
        CLOUDFLARE_ACCOUNT_ID: accountId,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let shown = "";
    reader.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
    try {
      await found(async () => {
        const ray = await rayOf("followed", "/seen");
        await delay(1_000);
        return shown.includes(ray) ? ray : null;
      });
    } finally {
      reader.kill();
    }
  });

  it("has exceptions with the line of the original source", async () => {
    await deploy("thrower", { observability: { enabled: true } });
    const ray = await rayOf("thrower", "/throw");
    const [entry] = await found(async () => {
      const all = await kept("thrower", "--ray", ray);
      return all.length > 0 ? all : null;
    });
    assert.equal(entry!.outcome, "exception");
    const [exception] = entry!.exceptions;
    assert.equal(exception?.name, "TypeError");
    assert.equal(exception?.message, "no such thing");
    assert.match(String(exception?.stack), /at .*\(?src\/shop\.ts:8:\d+\)?/);
    const { stdout } = await logs("thrower");
    assert.match(stdout, /\n {4}TypeError: no such thing\n {8}at .*src\/shop\.ts:8:/);
  });

  it("has the gateway's failures, and the client's ray finds that which it was handed", async () => {
    await deploy("caller");
    const answer = await platform.worker("caller", "/origin");
    const code = answer.headers["countersign-failure"];
    assert.equal(typeof code, "string");
    const ray = String(answer.headers["cf-ray"]);
    const all = await found(async () => {
      const entries = await kept("caller", "--ray", ray);
      return entries.some(({ kind }) => kind === "failure") ? entries : null;
    });
    const failure = all.find(({ kind }) => kind === "failure");
    assert.equal(failure?.code, code);
    assert.equal(failure?.binding, "CERT");
    assert.equal(failure?.origin, "https://127.0.0.1:9");
    assert.match(String(failure?.logs[0]?.message[0]), /^CERT: .*127\.0\.0\.1:9/);
  });

  it("has what a Worker writes even where its requests are not kept, and says that they are not", async () => {
    await deploy("quiet");
    await rayOf("quiet", "/a");
    const run = await found(async () => {
      const one = await logs("quiet");
      return one.stdout.includes("/a") ? one : null;
    });
    assert.match(run.stdout, /console\n {4}\(log\) at \{ pathname: '\/a' \}/);
    assert.doesNotMatch(run.stdout, /GET/);
    assert.match(run.stderr, /observability\.enabled/);
  });

  it("settings alone turn it on and off, and no request is lost meanwhile", async () => {
    await deploy("switched");
    const path = "/accounts/{account}/workers/scripts/switched/script-settings";
    await platform.api("PATCH", path, { observability: { enabled: true } });
    const ray = await rayOf("switched", "/on");
    await found(async () => ((await kept("switched", "--ray", ray)).length > 0 ? true : null));
    await platform.api("PATCH", path, { observability: { enabled: false } });
    const off = await rayOf("switched", "/off");
    await found(async () => ((await logs("switched")).stdout.includes("/off") ? true : null));
    assert.equal((await kept("switched", "--ray", off)).length, 0);
  });

  it("goes with the Worker, and a missing Worker has none", async () => {
    await deploy("gone");
    await rayOf("gone", "/");
    await found(async () => ((await kept("gone")).length > 0 ? true : null));
    await platform.api("DELETE", "/accounts/{account}/workers/scripts/gone");
    const { status, stderr } = await logs("gone");
    assert.equal(status, 1);
    assert.match(stderr, /script_not_found/);
    await deploy("gone");
    assert.deepEqual(await kept("gone"), []);
  });

  it("an unmodified wrangler tail shows requests as they come, filtered, and costs nothing after", async () => {
    await deploy("tailed");
    const pid = await versionPid(platform, "tailed");
    const json = wranglerTail(platform, [
      "tailed",
      "--format",
      "json",
      "--method",
      "GET",
      "--search",
      "/throw",
    ]);
    await found(async () => ((await tails(platform, "tailed")) === 1 ? true : null));
    await found(async () => {
      await platform.worker("tailed", "/else");
      await platform.worker("tailed", "/throw");
      return json.output().includes("no such thing") ? true : null;
    });
    assert.doesNotMatch(json.output(), /\/else/);
    const [first] = JSON.parse(
      `[${json
        .output()
        .trim()
        .replaceAll(/\}\s*\{\s*"scriptName/g, '},{"scriptName')}]`,
    );
    assert.equal(first.scriptName, "tailed");
    assert.equal(first.outcome, "exception");
    assert.match(first.exceptions[0].stack, /src\/shop\.ts:8/);
    assert.notEqual(await versionPid(platform, "tailed"), pid);
    await json.end();
    await found(async () => ((await tails(platform, "tailed")) === 0 ? true : null));
    assert.equal((await kept("tailed")).filter(({ kind }) => kind === "invocation").length, 0);
  });

  it("wrangler tail says it in words, too", async () => {
    await deploy("worded", { observability: { enabled: true } });
    const pretty = wranglerTail(platform, ["worded", "--format", "pretty"]);
    await found(() => Promise.resolve(pretty.output().includes("waiting for logs") ? true : null));
    await platform.worker("worded", "/hello");
    await found(() =>
      Promise.resolve(/\(log\) at \{ pathname: '\/hello' \}/.test(pretty.output()) ? true : null),
    );
    assert.match(pretty.output(), /GET http:\/\/worded\.localhost:\d+\/hello - Ok @ /);
    await pretty.end();
  });

  it("a stranger's WebSocket reads nothing", async () => {
    const path = "/accounts/{account}/workers/scripts/shop/tails";
    const { json } = await platform.api("POST", path, { filters: [] });
    const url = new URL(json.result.url as string);
    url.searchParams.set("key", "0".repeat(64));
    const socket = new WebSocket(url, "trace-v1");
    const [event] = await once(socket, "error");
    assert.ok(event);
    const gone = await platform.api("DELETE", `${path}/${json.result.id as string}`);
    assert.equal(gone.status, 200);
    const again = await platform.api("DELETE", `${path}/${json.result.id as string}`);
    assert.equal(again.status, 404);
    const wrong = await platform.api("POST", path, { filters: [{ colour: "red" }] });
    assert.equal(wrong.status, 400);
  });
});

/** The first result of `look` that is not null. */
async function found<T>(look: () => Promise<T | null>): Promise<T> {
  const deadline = Date.now() + 40_000;
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    if (Date.now() > deadline) throw new Error(`it did not come about: ${String(look)}`);
    await delay(50);
  }
}

async function tails(platform: TestPlatform, script: string): Promise<number> {
  const { json } = await platform.api("GET", `/accounts/{account}/workers/scripts/${script}/tails`);
  return (json.result as unknown[]).length;
}

async function versionPid(platform: TestPlatform, script: string): Promise<number> {
  const run = await countersign(["status", "--json", "--data", platform.dataFolder]);
  const { workers } = JSON.parse(run.stdout) as {
    workers: { script_name: string; state: string; pid: number }[];
  };
  return workers.find((one) => one.script_name === script && one.state === "running")?.pid ?? 0;
}
