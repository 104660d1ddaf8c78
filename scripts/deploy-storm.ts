// Deploys one Worker again and again while clients ask it, and counts what was lost:
//
//   node scripts/deploy-storm.ts [deploys=300] [seconds=60] [clients=4]
//
// Every answer has to be 200, of a version that was in force while the request was under way: a deploy
// that was acknowledged answers at once. Measured on two cores that other programs kept busy (a load of 12):
// 300 deploys in 108 s (296 ms at the median), 57,196 requests, none lost, at most 6 processes of workerd.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { scriptForm } from "../test/helpers/script-form.ts";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";

const [deploys = 300, seconds = 60, clients = 4] = process.argv.slice(2).map(Number);

await using platform = await startPlatform();
await deploy(platform, 0);
const lost: string[] = [];
let asked = 0;
let acknowledged = 0;
let begun = 0;
const over = new AbortController();

const asking = Array.from({ length: clients }, async () => {
  while (!over.signal.aborted) {
    const least = acknowledged;
    const answer = await platform.worker("storm").catch((error: unknown) => ({
      status: 0,
      body: String(error),
    }));
    asked += 1;
    const generation = Number(answer.body);
    if (answer.status !== 200 || generation < least || generation > begun) {
      lost.push(`${answer.status} ${answer.body.slice(0, 200)}, in force: ${least} to ${begun}`);
    }
  }
});

const began = performance.now();
const times: number[] = [];
let mostProcesses = 0;
for (let n = 1; n <= deploys; n += 1) {
  const due = began + ((n - 1) * seconds * 1000) / deploys;
  await delay(Math.max(0, due - performance.now()));
  const from = performance.now();
  begun = n;
  await deploy(platform, n);
  acknowledged = n;
  times.push(performance.now() - from);
  if (n % 10 === 0) mostProcesses = Math.max(mostProcesses, workerds(platform.process.pid!));
}
const took = (performance.now() - began) / 1000;
over.abort();
await Promise.all(asking);

times.sort((one, other) => one - other);
const at = (share: number): string => `${Math.round(times[Math.floor(times.length * share)]!)} ms`;
console.log(
  `${deploys} deploys in ${took.toFixed(0)} s (${at(0.5)} at the median, ${at(0.99)} at the 99th percentile), ` +
    `${asked} requests, ${lost.length} lost, at most ${mostProcesses} processes of workerd`,
);
for (const line of lost.slice(0, 10)) console.error(line);
process.exitCode = lost.length === 0 ? 0 : 1;

async function deploy(target: TestPlatform, n: number): Promise<void> {
  const form = scriptForm(
    { compatibility_date: "2026-11-01" },
    {
      "index.js": [
        "application/javascript+module",
        `export default { fetch: () => new Response("${n}") };`,
      ],
    },
  );
  const { status, json } = await target.api(
    "PUT",
    "/accounts/{account}/workers/scripts/storm",
    form,
  );
  if (status !== 200) throw new Error(`deploy ${n}: ${JSON.stringify(json.errors)}`);
}

/** Of the platform, at whatever depth: it has a sandbox between. */
function workerds(platformPid: number): number {
  const parents = new Map<number, { readonly parent: number; readonly name: string }>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [, name = "", parent = ""] =
        /^\d+ \((.*)\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      parents.set(Number(pid), { parent: Number(parent), name });
    } catch {
      // It ended meanwhile.
    }
  }
  const isBelow = (pid: number): boolean =>
    pid === platformPid || (pid > 1 && isBelow(parents.get(pid)?.parent ?? 0));
  return [...parents].filter(([pid, { name }]) => name === "workerd" && isBelow(pid)).length;
}
