import { AggregatorRegistry, type Registry } from "prom-client";

/** What one process has counted since it started. */
export interface CountedMetrics {
  readonly pid: number;
  readonly metrics: Metrics;
}

type Metrics = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/**
 * The metrics of several processes as those of one. What a process had counted when it was last
 * read stays in the sums after its end: Prometheus would take a falling counter for a reset.
 */
export class SummedMetrics {
  /** As they were last read, by pid. */
  readonly #last: Map<number, Metrics> = new Map();
  /** Of processes that have ended. */
  #gone: Metrics = [];
  #summing: Promise<unknown> = Promise.resolve();

  /**
   * @param read of every process that answers
   * @param running the pids of those that run, whether they answer or not
   */
  sum(read: readonly CountedMetrics[], running: readonly number[]): Promise<string> {
    const sum = this.#summing.then(() => this.#sum(read, running));
    this.#summing = sum.catch(() => {});
    return sum;
  }

  async #sum(read: readonly CountedMetrics[], running: readonly number[]): Promise<string> {
    for (const { pid, metrics } of read) this.#last.set(pid, metrics);
    const answered = new Set(read.map(({ pid }) => pid));
    const silent: Metrics[] = [];
    for (const [pid, metrics] of this.#last) {
      if (answered.has(pid)) continue;
      if (running.includes(pid)) silent.push(grown(metrics));
      else {
        this.#last.delete(pid);
        const both = [this.#gone, grown(metrics)];
        this.#gone = await AggregatorRegistry.aggregate(both).getMetricsAsJSON();
      }
    }
    const all = [...read.map(({ metrics }) => metrics), ...silent, this.#gone];
    return AggregatorRegistry.aggregate(all).metrics();
  }
}

/** Metrics that only grow. */
function grown(metrics: Metrics): Metrics {
  return metrics.filter(({ type }) => ["counter", "histogram"].includes(String(type)));
}
