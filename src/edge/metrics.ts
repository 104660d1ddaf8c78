import { Gauge, Counter, Registry, collectDefaultMetrics } from "prom-client";
import type { WorkerStatus } from "../contract/edge.ts";
import { cpuTime } from "./cpu-time.ts";

/** What Prometheus reads of the processes of Workers, and of this one. */
export class WorkerMetrics {
  readonly registry: Registry = new Registry();
  /** CPU seconds that processes had used when they were last looked at, by pid. */
  readonly #used = new Map<number, number>();

  constructor(workers: () => readonly WorkerStatus[]) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: "countersign_control_" });
    const used = this.#used;
    // oxlint-disable-next-line no-new
    new Counter({
      name: "countersign_worker_cpu_seconds_total",
      help: "CPU time that the processes of a Worker have used, as far as they were seen",
      labelNames,
      registers,
      collect() {
        const alive = new Set<number>();
        for (const worker of workers()) {
          const seconds = worker.pid === null ? null : (cpuTime(worker.pid) ?? 0) / 1000;
          if (worker.pid === null || seconds === null) continue;
          alive.add(worker.pid);
          this.inc(labelsOf(worker), Math.max(seconds - (used.get(worker.pid) ?? 0), 0));
          used.set(worker.pid, seconds);
        }
        for (const pid of used.keys()) if (!alive.has(pid)) used.delete(pid);
      },
    });
    const gauge = (
      name: string,
      help: string,
      value: (worker: WorkerStatus) => number | null,
    ): void => {
      // oxlint-disable-next-line no-new
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          for (const worker of workers()) {
            const read = value(worker);
            if (read !== null) this.inc(labelsOf(worker), read);
          }
        },
      });
    };
    gauge(
      "countersign_worker_memory_bytes",
      "RAM that the processes of a Worker hold",
      ({ memory }) => memory,
    );
    gauge(
      "countersign_worker_processes",
      "Processes of a Worker that run, those that drain too",
      ({ pid }) => (pid === null ? 0 : 1),
    );
    gauge(
      "countersign_worker_idle",
      "Processes of a Worker that its next request starts",
      ({ state }) => (state === "idle" ? 1 : 0),
    );
    gauge(
      "countersign_worker_restarts",
      "How often the processes of a Worker's running generations were started again",
      ({ restarts }) => restarts,
    );
  }
}

interface Labels extends Record<string, string> {
  readonly account: string;
  readonly script: string;
}

const labelNames = ["account", "script"];

function labelsOf({ accountId, scriptName }: WorkerStatus): Labels {
  return { account: accountId, script: scriptName };
}
