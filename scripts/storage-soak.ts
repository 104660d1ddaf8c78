/**
 * Kills the processes that keep an account's data, over and over, while Workers write to KV, D1, R2,
 * Durable Objects and a queue, and create instances of a Workflow; then reads back all that was acknowledged. What
 * was sent to the queue has to have come to its consumer, which notes it in a Durable Object; each instance has to
 * have ended, and what its first step returned to have stayed. `node scripts/storage-soak.ts [KILLS]`, 40 by default.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";
import { scriptForm } from "../test/helpers/script-form.ts";

const worker = `import { DurableObject, WorkflowEntrypoint } from "cloudflare:workers";
export class Steps extends WorkflowEntrypoint {
  async run({ payload }, step) {
    const again = { retries: { limit: 1000, delay: 10, backoff: "constant" } };
    const first = await step.do("first", again, async () => crypto.randomUUID());
    await step.sleep("nap", "1 second");
    const kept = await step.do("kept", again, () => this.env.KEPT.getByName("steps").first(payload.n, first));
    return { n: payload.n, isOne: kept === first };
  }
}
export class Kept extends DurableObject {
  write(n) {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS kept (n INTEGER PRIMARY KEY)");
    this.ctx.storage.sql.exec("INSERT OR IGNORE INTO kept VALUES (?)", n);
  }
  first(n, text) {
    const { sql } = this.ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS firsts (n INTEGER PRIMARY KEY, text TEXT)");
    sql.exec("INSERT OR IGNORE INTO firsts VALUES (?, ?)", n, text);
    return sql.exec("SELECT text FROM firsts WHERE n = ?", n).one().text;
  }
  has(n) { return this.ctx.storage.sql.exec("SELECT n FROM kept WHERE n = ?", n).toArray().length === 1; }
}
const write = {
  kv: (env, n) => env.KV.put("k" + n, String(n)),
  large: (env, n) => env.KV.put("l" + n, String(n).padEnd(100_000, "x")),
  d1: (env, n) => env.DB.prepare("INSERT INTO kept VALUES (?)").bind(n).run(),
  r2: (env, n) => env.FILES.put("r" + n, String(n)),
  object: (env, n) => env.KEPT.getByName("kept").write(n),
  queue: (env, n) => env.JOBS.send(n),
  workflow: (env, n) => env.STEPS.create({ id: "w" + n, params: { n } }),
};
const read = {
  kv: async (env, n) => (await env.KV.get("k" + n)) === String(n),
  large: async (env, n) => (await env.KV.get("l" + n))?.length === 100_000,
  d1: async (env, n) => (await env.DB.prepare("SELECT n FROM kept WHERE n = ?").bind(n).first("n")) === n,
  r2: async (env, n) => (await (await env.FILES.get("r" + n))?.text()) === String(n),
  object: (env, n) => env.KEPT.getByName("kept").has(n),
  queue: (env, n) => env.KEPT.getByName("came").has(n),
  workflow: async (env, n) => {
    const { output } = await (await env.STEPS.get("w" + n)).status();
    return output?.n === n && output.isOne;
  },
};
export default {
  async fetch(request, env) {
    const [, what, kind, n] = new URL(request.url).pathname.split("/");
    if (what === "write") await write[kind](env, Number(n));
    else if (!(await read[kind](env, Number(n)))) return new Response("lost", { status: 404 });
    return new Response("done");
  },
  async queue({ messages }, env) {
    for (const { body } of messages) await env.KEPT.getByName("came").write(body);
  },
};`;

const kinds = ["kv", "large", "d1", "r2", "object", "queue", "workflow"] as const;
const kills = Number(process.argv[2] ?? 40);

await using platform = await startPlatform();
await deploy(platform);
const acknowledged = new Map<string, number[]>(kinds.map((kind) => [kind, []]));
const over = new AbortController();
const writers = kinds.map((kind) => writeUntil(kind, over.signal));
for (let kill = 0; kill < kills; kill++) {
  await delay(500 + Math.random() * 1000);
  while (!killStorage(platform)) await delay(20);
}
over.abort();
await Promise.all(writers);
/** ms: until then, each message has to have come, and each instance to have ended. */
const delivered = Date.now() + 120_000;
let lost = 0;
for (const kind of kinds) {
  const numbers = acknowledged.get(kind)!;
  const missing = [];
  for (const n of numbers) if (!(await isThere(kind, n))) missing.push(n);
  lost += missing.length;
  process.stdout.write(`${kind}: ${numbers.length} acknowledged, ${missing.length} lost\n`);
  if (numbers.length === 0) lost++;
}
process.stdout.write(`${kills} kills\n`);
process.exitCode = lost === 0 ? 0 : 1;

async function writeUntil(kind: string, signal: AbortSignal): Promise<void> {
  for (let n = 1; !signal.aborted; n++) {
    const { status } = await platform.worker("soak", `/write/${kind}/${n}`);
    if (status === 200) acknowledged.get(kind)!.push(n);
    else await delay(10);
  }
}

/** Asked again while the storage is being started, and while a message may be on its way. */
async function isThere(kind: string, n: number): Promise<boolean> {
  for (let left = 20; ; left--) {
    const { status } = await platform.worker("soak", `/read/${kind}/${n}`);
    if (status === 200) return true;
    const isUnderWay = (kind === "queue" || kind === "workflow") && Date.now() < delivered;
    if (!isUnderWay && (status === 404 || left === 0)) return false;
    await delay(100);
  }
}

/** One of the processes that see the storage's folder. False: it is just being started. */
function killStorage({ dataFolder }: TestPlatform): boolean {
  const all = readdirSync(join(dataFolder, "run/pids")).filter((one) => isStorage(one, dataFolder));
  const pid = all[Math.floor(Math.random() * all.length)];
  if (pid !== undefined) process.kill(Number(pid), "SIGKILL");
  return pid !== undefined;
}

function isStorage(pid: string, dataFolder: string): boolean {
  try {
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8");
    // Without a sandbox it stands in its folder.
    const folder = readlinkSync(`/proc/${pid}/cwd`);
    const isInFolder = ["run/s/", "run/q/"].some((of) => folder.startsWith(join(dataFolder, of)));
    return isInFolder || mounts.includes(`${basename(dataFolder)}/storage/`);
  } catch {
    return false;
  }
}

async function deploy(to: TestPlatform): Promise<void> {
  const made = async (
    path: string,
    body: object,
  ): Promise<{ id: string; uuid: string; queue_id: string }> =>
    (await to.api("POST", `/accounts/{account}${path}`, body)).json.result as never;
  const kv = await made("/storage/kv/namespaces", { title: "soak" });
  const db = await made("/d1/database", { name: "soak" });
  await made("/r2/buckets", { name: "soak" });
  const queue = await made("/queues", { queue_name: "soak" });
  await made(`/d1/database/${db.uuid}/query`, { sql: "CREATE TABLE kept (n INTEGER PRIMARY KEY)" });
  const bindings = [
    { type: "kv_namespace", name: "KV", namespace_id: kv.id },
    { type: "d1", name: "DB", id: db.uuid },
    { type: "r2_bucket", name: "FILES", bucket_name: "soak" },
    { type: "durable_object_namespace", name: "KEPT", class_name: "Kept" },
    { type: "queue", name: "JOBS", queue_name: "soak" },
    { type: "workflow", name: "STEPS", workflow_name: "soak", class_name: "Steps" },
  ];
  const migrations = { new_tag: "v1", new_sqlite_classes: ["Kept"] };
  const form = scriptForm(
    { compatibility_date: "2026-11-01", bindings, migrations },
    { "index.js": ["application/javascript+module", worker] },
  );
  const { json } = await to.api("PUT", "/accounts/{account}/workers/scripts/soak", form);
  if (!json.success) throw new Error(JSON.stringify(json.errors));
  // No message is given up: its consumer's objects are away as often as its process is killed.
  const settings = { max_wait_time_ms: 0, max_retries: 100 };
  const consumer = { type: "worker", script_name: "soak", settings };
  await made(`/queues/${queue.queue_id}/consumers`, consumer);
}
