import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { masterKeyVariables } from "../src/keys/master-key.ts";
import { backUp, restore } from "../src/platform/backup/backup.ts";
import { deploys, makeQueue } from "./helpers/deploy.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { until } from "./helpers/until.ts";
import { wranglerProject, type WranglerProject } from "./helpers/wrangler.ts";

/** Sends what it is asked to, and stores received messages in KV, because processes come and go. */
const CODE = `export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    const body = searchParams.get("body");
    if (pathname === "/send") await env.JOBS.send(body, options(searchParams.get("delay")));
    else if (pathname === "/batch") {
      await env.JOBS.sendBatch([1, 2, 3].map((i) => ({ body: { date: new Date(i), i }, contentType: "v8" })));
    } else {
      const { keys } = await env.KV.list({ prefix: "came:" });
      return Response.json(await Promise.all(keys.map(({ name }) => env.KV.get(name, "json"))));
    }
    return new Response("sent");
  },
  async queue(batch, env) {
    for (const { id, body, attempts } of batch.messages) {
      const text = body?.date instanceof Date ? "date " + body.i : body;
      const came = { queue: batch.queue, body: text, attempts, of: batch.messages.length, at: Date.now() };
      await env.KV.put(["came", Date.now(), batch.queue, id, attempts].join(":"), JSON.stringify(came));
    }
    for (const message of batch.messages) {
      if (batch.queue.endsWith("-dead")) continue;
      if (message.body === "poison") message.retry();
      else if (message.body === "later" && message.attempts === 1) message.retry({ delaySeconds: 2 });
      else message.ack();
    }
    if (batch.messages.some(({ body }) => body === "throws")) throw new Error("no");
  },
};
const options = (delay) => (delay === null ? {} : { delaySeconds: Number(delay) });`;

interface Came {
  readonly queue: string;
  readonly body: string;
  readonly attempts: number;
  readonly of: number;
  /** ms */
  readonly at: number;
}

describe("queues", () => {
  let platform: TestPlatform;
  let token: string;
  let kv: string;
  const dataFolder = mkdtempSync(join(tmpdir(), "countersign-queues-"));
  const projects: WranglerProject[] = [];
  before(async () => {
    platform = await startPlatform({ dataFolder });
    token = platform.ready.token;
    const path = "/accounts/{account}/storage/kv/namespaces";
    kv = (await platform.api("POST", path, { title: "came" })).json.result.id;
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    for (const one of projects) await one[Symbol.asyncDispose]();
    rmSync(dataFolder, { recursive: true, force: true });
  });

  const configuration = (name: string, consumer: object | null): object => ({
    name,
    main: "index.js",
    compatibility_date: "2026-11-01",
    kv_namespaces: [{ binding: "KV", id: kv }],
    queues: {
      producers: [{ binding: "JOBS", queue: name }],
      consumers: consumer === null ? [] : [{ queue: name, max_batch_timeout: 0, ...consumer }],
    },
  });
  const project = async (name: string, consumer: object | null): Promise<WranglerProject> => {
    const { api, accountId } = platform.ready;
    const files = { "wrangler.json": configuration(name, consumer), "index.js": CODE };
    const made = await wranglerProject({ api, token, accountId }, files);
    projects.push(made);
    return made;
  };
  const send = async (name: string, query: string): Promise<void> => {
    assert.equal((await platform.worker(name, `/${query}`)).body, "sent");
  };
  const came = async (name: string, queue = name): Promise<Came[]> => {
    const all = JSON.parse((await platform.worker(name, "/came")).body) as Came[];
    return all.filter((one) => one.queue === queue);
  };
  const bodies = async (name: string, queue = name): Promise<string[]> =>
    (await came(name, queue)).map(({ body }) => body);
  it("wrangler makes them and deploys a producer and a consumer: retries, delays and dead letters", async () => {
    const made = await project("jobs", { max_retries: 2, dead_letter_queue: "jobs-dead" });
    await run(made, "queues", "create", "jobs");
    await run(made, "queues", "create", "jobs-dead");
    assert.match((await made.run(["queues", "create", "jobs"])).output, /\[code: 11009\]/);
    assert.match(await run(made, "deploy"), /Consumer for jobs/);
    await run(made, "queues", "consumer", "add", "jobs-dead", "jobs", "--batch-timeout", "0");
    await send("jobs", "send?body=hello");
    await send("jobs", "batch");
    await send("jobs", "send?body=poison");
    await send("jobs", "send?body=throws");
    const sent = Date.now();
    await send("jobs", "send?body=delayed&delay=3");
    await send("jobs", "send?body=later");
    await until(async () => (await bodies("jobs", "jobs-dead")).includes("poison"));
    await until(async () => (await bodies("jobs")).includes("delayed"));
    assert.ok(Date.now() - sent >= 3_000);
    await until(async () =>
      (await came("jobs")).some((o) => o.body === "later" && o.attempts === 2),
    );
    const all = await came("jobs");
    const times = (body: string): number => all.filter((one) => one.body === body).length;
    assert.deepEqual([times("hello"), times("poison"), times("delayed")], [1, 3, 1]);
    assert.deepEqual([times("date 1"), times("date 2"), times("date 3")], [1, 1, 1]);
    // A message that was acknowledged before the handler threw is not delivered again.
    assert.equal(times("throws"), 1);
    assert.deepEqual(await bodies("jobs", "jobs-dead"), ["poison"]);
    assert.match(await run(made, "queues", "list"), /jobs\s.*jobs-dead/s);
    assert.match(await run(made, "queues", "info", "jobs"), /worker:jobs/);
  });

  it("a paused queue keeps its messages, a purged one has none, and resumed it delivers", async () => {
    const made = await project("paused", {});
    await makeQueue(made, "paused");
    await deploys(made);
    await run(made, "queues", "pause-delivery", "paused");
    await send("paused", "send?body=purged");
    await run(made, "queues", "purge", "paused", "--force");
    await send("paused", "send?body=kept");
    assert.deepEqual(await bodies("paused"), []);
    await run(made, "queues", "resume-delivery", "paused");
    await until(async () => (await bodies("paused")).length > 0);
    assert.deepEqual(await bodies("paused"), ["kept"]);
  });

  it("wrangler queues update changes the delay of a queue; a binding's and a message's own come before it", async () => {
    const made = await project("slow", {});
    await run(made, "queues", "create", "slow", "--delivery-delay-secs", "600");
    await deploys(made);
    /** How many seconds a message took, found by polling. */
    const took = async (body: string, query = ""): Promise<number> => {
      const sent = Date.now();
      await send("slow", `send?body=${body}${query}`);
      await until(async () => (await bodies("slow")).includes(body));
      return ((await came("slow")).find((one) => one.body === body)!.at - sent) / 1000;
    };
    await send("slow", "send?body=waits");
    await took("at-once", "&delay=0");
    await run(made, "queues", "update", "slow", "--delivery-delay-secs", "2");
    assert.ok((await took("of-the-queue")) >= 2);
    const configured = configuration("slow", {}) as { queues: { producers: object[] } };
    configured.queues.producers = [{ binding: "JOBS", queue: "slow", delivery_delay: 4 }];
    await made.write({ "wrangler.json": configured });
    await run(made, "deploy");
    assert.ok((await took("of-the-binding")) >= 4);
    const { json } = await platform.api("GET", "/accounts/{account}/queues?name=slow");
    assert.equal(json.result[0].settings.delivery_delay, 2);
    const kept = await made.run("queues update slow --message-retention-period-secs 60".split(" "));
    assert.match(kept.output, /messages are kept for 345600 seconds/);
    assert.notEqual(kept.exitCode, 0);
    assert.deepEqual(
      (await bodies("slow")).filter((body) => body === "waits"),
      [],
    );
  });

  it("kill -9 of the process that keeps them, a restart and a backup lose no message", async () => {
    const made = await project("durable", null);
    await makeQueue(made, "durable");
    await deploys(made);
    const acknowledged: string[] = [];
    // A busy machine takes time to start killed processes again.
    for (let i = 0; i < 60 || (acknowledged.length < 15 && i < 600); i++) {
      if (i % 20 === 10 && i < 60) killAll(dataFolder);
      const answer = await platform.worker("durable", `/send?body=m${i}`).catch(() => null);
      if (answer?.body === "sent") acknowledged.push(`m${i}`);
      else await delay(200);
    }
    assert.ok(acknowledged.length >= 15, String(acknowledged.length));
    await platform.end("SIGKILL");
    const file = `${dataFolder}.backup`;
    const restored = `${dataFolder}-restored`;
    backUp({ dataFolder, file, force: false });
    mkdirSync(restored, { mode: 0o700 });
    copyFileSync(join(dataFolder, "master.key"), join(restored, "master.key"));
    const variables = masterKeyVariables({});
    await restore({ dataFolder: restored, file, force: true, variables, now: new Date() });
    platform = await startPlatform({ dataFolder: restored, token });
    const { json } = await platform.api("GET", "/accounts/{account}/queues?name=durable");
    const [{ queue_id: id }] = json.result;
    await platform.api("POST", `/accounts/{account}/queues/${id}/consumers`, {
      type: "worker",
      script_name: "durable",
      settings: { max_wait_time_ms: 0, batch_size: 100 },
    });
    await until(async () => new Set(await bodies("durable")).size >= acknowledged.length);
    const got = new Set(await bodies("durable"));
    assert.deepEqual(
      acknowledged.filter((one) => !got.has(one)),
      [],
    );
    await platform.end("SIGTERM");
    rmSync(file, { force: true });
    rmSync(restored, { recursive: true, force: true });
    platform = await startPlatform({ dataFolder, token });
  });

  it("one consumer a queue, none over HTTP, and what is bound is not deleted", async () => {
    const made = await project("bound", {});
    await makeQueue(made, "bound");
    await deploys(made);
    const { json } = await platform.api("GET", "/accounts/{account}/queues?name=bound");
    const path = `/accounts/{account}/queues/${json.result[0].queue_id}`;
    const second = { type: "worker", script_name: "bound" };
    const taken = await platform.api("POST", `${path}/consumers`, second);
    assert.equal(taken.json.errors[0]?.code, 11004);
    // Terraform plans with one consumer after the other.
    const consumers = await platform.api("GET", `${path}/consumers`);
    const one = await platform.api(
      "GET",
      `${path}/consumers/${consumers.json.result[0].consumer_id}`,
    );
    assert.deepEqual(one.json.result, consumers.json.result[0]);
    assert.equal((await platform.api("GET", `${path}/consumers/none`)).status, 404);
    const referred = async (): Promise<string[]> => {
      const worker = await platform.api("GET", "/accounts/{account}/workers/workers/bound");
      const { queues } = worker.json.result.references as {
        queues: readonly { queue_id: string; queue_name: string }[];
      };
      return queues.map((queue) => `${queue.queue_id} ${queue.queue_name}`);
    };
    assert.deepEqual(await referred(), [`${json.result[0].queue_id} bound`]);
    await run(made, "queues", "consumer", "remove", "bound", "bound");
    assert.deepEqual(await referred(), []);
    const pull = await made.run(["queues", "consumer", "http", "add", "bound"]);
    assert.match(
      pull.output,
      /messages of a queue are not pulled over HTTP.*wrangler queues consumer add/s,
    );
    const odd = await platform.api("POST", `${path}/consumers`, { type: "r2_bucket" });
    assert.match(odd.json.errors[0]!.message, /consumed by Workers, and not by "r2_bucket"/);
    const kept = await made.run(["queues", "delete", "bound"]);
    assert.match(kept.output, /"bound" is bound by "bound"/);
    await run(made, "delete", "--force");
    await run(made, "queues", "delete", "bound");
    assert.deepEqual(
      (await platform.api("GET", "/accounts/{account}/queues?name=bound")).json.result,
      [],
    );
  });
});

/** Kills every process that the platform has started, including that of the queues. */
function killAll(dataFolder: string): void {
  for (const pid of readdirSync(join(dataFolder, "run/pids"))) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  }
}

async function run(made: WranglerProject, ...args: readonly string[]): Promise<string> {
  const { exitCode, output } = await made.run(args);
  assert.equal(exitCode, 0, output);
  return output;
}
