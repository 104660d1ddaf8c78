import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { RevokedSerials } from "countersign-origin";
import { median } from "../measure.ts";

export interface SerialsCost {
  /** Additional memory of a process with them, after garbage collection. */
  readonly mb: number;
  readonly addNs: number;
  readonly hitNs: number;
  readonly missNs: number;
}

export const SERIALS = 100_000;

/** 100,000 serial numbers of revoked identities, in a separate process. */
export async function serialsCost(): Promise<SerialsCost> {
  const child = fork(import.meta.filename, ["measure"], { execArgv: ["--expose-gc"] });
  const [cost] = (await once(child, "message")) as [SerialsCost];
  return cost;
}

if (process.argv[2] === "measure" && process.send !== undefined) process.send(measured());

function measured(): SerialsCost {
  // Warm-up; its memory is released before the measurement.
  for (let n = 0; n < 3; n += 1) measureOnce();
  const runs = Array.from({ length: 5 }, measureOnce);
  const of = (pick: (run: SerialsCost) => number): number => median(runs.map(pick));
  return {
    mb: of((run) => run.mb),
    addNs: of((run) => run.addNs),
    hitNs: of((run) => run.hitNs),
    missNs: of((run) => run.missNs),
  };
}

function measureOnce(): SerialsCost {
  const serials = Array.from({ length: SERIALS }, fresh);
  const strangers = Array.from({ length: SERIALS }, fresh);
  const before = held();
  const revoked = new RevokedSerials();
  const addNs = each(serials, (serial) => revoked.add(serial));
  const mb = (held() - before) / 1e6;
  let hits = 0;
  const look = (serial: string): void => {
    if (revoked.has(serial)) hits += 1;
  };
  const hitNs = each(serials, look);
  const missNs = each(strangers, look);
  if (hits !== SERIALS) throw new Error(`${hits} of ${SERIALS} were found`);
  return { mb, addNs, hitNs, missNs };
}

/** As the CA makes them: 16 to 20 bytes. */
function fresh(): string {
  return randomBytes(20).toString("hex").toUpperCase();
}

function each(serials: readonly string[], work: (serial: string) => void): number {
  const begun = performance.now();
  for (const serial of serials) work(serial);
  return ((performance.now() - begun) * 1e6) / serials.length;
}

function held(): number {
  globalThis.gc!();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  // `external` includes the array buffers.
  return heapUsed + Math.max(external, arrayBuffers);
}
