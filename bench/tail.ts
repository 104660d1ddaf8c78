/**
 * The tail: p99 through the whole platform with 64 connections, quiet and while deploys, rotations and uploads of
 * certificates go on, in turns. `node bench/tail.ts [--quick] [--json FILE]`.
 */
import { availableParallelism } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startPlatform } from "../test/helpers/platform.ts";
import { scriptForm } from "../test/helpers/script-form.ts";
import { aimOfTail } from "./aims.ts";
import { Lab, stopSignal } from "./lab.ts";
import { findLoad, type LoadResult } from "./load/load.ts";
import { makeMaterial } from "./material.ts";
import { median } from "./measure.ts";
import { startOrigin } from "./origin.ts";
import { finishPart } from "./parts.ts";
import { round } from "./rows.ts";
import { WORKER } from "./subjects/workerd.ts";

const CONNECTIONS = 64;
/** ms from one to the next. Deploys replace the Worker that is measured, rotations the certificate that it presents. */
const EVERY = { deploy: 2_000, rotation: 1_000, upload: 250 } as const;

const { values: options } = parseArgs({
  options: { quick: { type: "boolean", default: false }, json: { type: "string" } },
});
const [rounds, seconds] = options.quick ? [2, 4] : [5, 8];

await using lab = await Lab.open(stopSignal());
const material = await makeMaterial(lab);
const origin = await startOrigin(lab, material);
await using platform = await startPlatform();
const load = findLoad();
await uploadAuthority();
const inUse = await upload("in use");
await deploy();

const done = { deploy: 0, rotation: 0, upload: 0 };
const quiet: LoadResult[] = [];
const busy: LoadResult[] = [];
await measured(2);
for (let turn = 0; turn < rounds; turn++) {
  quiet.push(await measured(seconds));
  busy.push(await whileBusy(() => measured(seconds)));
}

const of = (results: readonly LoadResult[], what: keyof LoadResult): number =>
  round(median(results.map((result) => result[what])));
say(
  `${CONNECTIONS} connections on ${availableParallelism()} cores, the load on the same; medians of ${rounds} rounds`,
);
for (const [name, results] of Object.entries({ quiet, busy })) {
  const [rps, p50, p99] = [of(results, "rps"), of(results, "p50Ms"), of(results, "p99Ms")];
  say(`${name.padEnd(6)} ${rps} requests/s, p50 ${p50} ms, p99 ${p99} ms`);
}
say(`meanwhile ${done.deploy} deploys, ${done.rotation} rotations, ${done.upload} uploads`);
await finishPart([aimOfTail(of(busy, "p99Ms"), of(quiet, "p99Ms"))], options);

function measured(forSeconds: number): Promise<LoadResult> {
  const { http } = platform.ready;
  const order = { url: `${http}/pooled/small`, host: `tail.localhost:${new URL(http).port}` };
  return load.run({ ...order, connections: CONNECTIONS, seconds: forSeconds }, lab.signal);
}

/** Each kind of change goes on until the measurement ends; none begins before the last of its kind is live. */
async function whileBusy<T>(measure: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  const repeat = async (
    kind: keyof typeof EVERY,
    change: () => Promise<unknown>,
  ): Promise<void> => {
    while (!over.signal.aborted) {
      const pause = delay(EVERY[kind]);
      await change();
      done[kind] += 1;
      await pause;
    }
  };
  const changes = [
    repeat("deploy", deploy),
    repeat("rotation", rotate),
    repeat("upload", () => upload(null)),
  ];
  try {
    return await measure();
  } finally {
    over.abort();
    await Promise.all(changes);
  }
}

async function deploy(): Promise<void> {
  const bindings = [
    { type: "mtls_certificate", name: "ORIGIN", certificate_id: inUse },
    { type: "plain_text", name: "BASE", text: `https://localhost:${origin.port}` },
  ];
  const metadata = { bindings, compatibility_date: "2026-11-17" };
  const source = `${WORKER}\n// ${performance.now()}`;
  const form = scriptForm(metadata, { "worker.js": ["application/javascript+module", source] });
  await call("PUT", "/accounts/{account}/workers/scripts/tail", form);
}

async function rotate(): Promise<void> {
  const { chain, key } = await material.authority.issue({ subject: "CN=bench client" });
  const body = { certificates: chain, private_key: key };
  await call("POST", `/accounts/{account}/countersign/certificates/${inUse}/versions`, body);
}

async function upload(name: string | null): Promise<string> {
  const { chain, key } = await material.authority.issue({ subject: "CN=bench client" });
  const body = { name, certificates: chain, private_key: key, ca: false };
  return (await call("POST", "/accounts/{account}/mtls_certificates", body)).id;
}

async function uploadAuthority(): Promise<void> {
  const body = { certificates: material.authority.pem, ca: true };
  await call("POST", "/accounts/{account}/mtls_certificates", body);
}

async function call(method: string, path: string, body: unknown): Promise<{ id: string }> {
  const { status, json } = await platform.api(method, path, body);
  if (status !== 200) throw new Error(`${method} ${path}: ${JSON.stringify(json.errors)}`);
  return json.result as { id: string };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
