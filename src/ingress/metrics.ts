import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { FailureCode } from "../failures/failures.ts";
import { keyIn } from "../contract/key-in.ts";

/** One Worker's numbers, for one request. */
export interface RequestCount {
  answered(status: number, ms: number): void;
  failed(code: FailureCode): void;
  ended(): void;
}

interface Counts {
  readonly byClass: readonly Counter.Internal[];
  readonly seconds: Histogram.Internal<WorkerLabel>;
  readonly inFlight: Gauge.Internal<WorkerLabel>;
  readonly labels: { readonly account: string; readonly script: string };
  running: number;
}

/** What Prometheus reads of the ingress: requests of Workers, and those that none got. */
export class IngressMetrics {
  readonly registry: Registry = new Registry();
  readonly #requests: Counter<WorkerLabel | "status">;
  readonly #errors: Counter<WorkerLabel | "code">;
  readonly #seconds: Histogram<WorkerLabel>;
  readonly #inFlight: Gauge<WorkerLabel>;
  readonly #refused: Counter<"code">;
  readonly #stalled: Counter;
  readonly #counts = new Map<string, Counts>();

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: "countersign_ingress_" });
    this.#requests = new Counter({
      name: "countersign_worker_requests_total",
      help: "Requests that a Worker answered, by class of status",
      labelNames: [...workerLabels, "status"],
      registers,
    });
    this.#errors = new Counter({
      name: "countersign_worker_errors_total",
      help: "Requests for a Worker that it did not answer, by code",
      labelNames: [...workerLabels, "code"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "countersign_worker_request_seconds",
      help: "From a request's header at the ingress to its response's",
      labelNames: workerLabels,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 100],
      registers,
    });
    this.#inFlight = new Gauge({
      name: "countersign_worker_requests_in_flight",
      help: "Requests and WebSockets that a Worker works on",
      labelNames: workerLabels,
      registers,
    });
    this.#refused = new Counter({
      name: "countersign_ingress_refused_total",
      help: "Requests that the ingress answered itself, for no Worker, by code",
      labelNames: ["code"],
      registers,
    });
    this.#stalled = new Counter({
      name: "countersign_ingress_stalled_total",
      help: "Connections and HTTP/2 streams that were ended because their client took nothing of what was sent",
      registers,
    });
  }

  /** @param isRunning false: it was refused at once */
  began(
    { accountId, scriptName }: { readonly accountId: string; readonly scriptName: string },
    isRunning = true,
  ): RequestCount {
    const counts = this.#of(accountId, scriptName);
    if (isRunning) {
      counts.running += 1;
      counts.inFlight.inc();
    }
    return {
      answered: (status, ms) => {
        counts.byClass[Math.floor(status / 100) - 1]?.inc();
        counts.seconds.observe(ms / 1000);
      },
      failed: (code) => this.#errors.inc({ ...counts.labels, code }),
      ended: () => {
        counts.running -= 1;
        counts.inFlight.dec();
      },
    };
  }

  refused(code: FailureCode): void {
    this.#refused.inc({ code });
  }

  /** A client has taken nothing for too long. */
  stalled(): void {
    this.#stalled.inc();
  }

  /** How many it works on. */
  running(accountId: string, scriptName: string): number {
    return this.#counts.get(keyIn(accountId, scriptName))?.running ?? 0;
  }

  /** It is gone: nobody asks for its numbers any more. */
  forget(accountId: string, scriptName: string): void {
    const key = keyIn(accountId, scriptName);
    const counts = this.#counts.get(key);
    if (counts === undefined || counts.running > 0) return;
    this.#counts.delete(key);
    const { labels } = counts;
    for (const status of CLASSES) this.#requests.remove({ ...labels, status });
    this.#seconds.remove(labels);
    this.#inFlight.remove(labels);
  }

  #of(accountId: string, scriptName: string): Counts {
    const key = keyIn(accountId, scriptName);
    let counts = this.#counts.get(key);
    if (counts !== undefined) return counts;
    const labels = { account: accountId, script: scriptName };
    counts = {
      byClass: CLASSES.map((status) => this.#requests.labels({ ...labels, status })),
      seconds: this.#seconds.labels(labels),
      inFlight: this.#inFlight.labels(labels),
      labels,
      running: 0,
    };
    this.#counts.set(key, counts);
    return counts;
  }
}

type WorkerLabel = "account" | "script";
const workerLabels: WorkerLabel[] = ["account", "script"];
const CLASSES = ["1xx", "2xx", "3xx", "4xx", "5xx"];
