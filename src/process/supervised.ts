import type { ProcessStatus } from "../contract/edge.ts";
import { Failure } from "../failures/failures.ts";
import type { CallRules, Methods } from "./calls.ts";
import { Kept } from "./kept.ts";
import {
  endedFailure,
  NodeProcess,
  ProcessEnded,
  type NodeProcessOptions,
} from "./node-process.ts";

export interface SupervisedOptions<M extends Methods<M>> extends NodeProcessOptions {
  readonly rules: CallRules<M>;
  /** ms to come up and be told everything. Default: 30,000. */
  readonly startTimeout?: number;
  /** Gives a new process its whole state. A process that cannot take it is ended. */
  restore(this: void, tell: Tell<M>): Promise<void>;
}

/** One call of a process that is being started. */
export type Tell<M extends Methods<M>> = <K extends keyof M & string>(
  method: K,
  ...args: Parameters<M[K]>
) => Promise<ReturnType<M[K]>>;

/** A Node process of our own. It answers typed calls, and is replaced when it ends or hangs. */
export class Supervised<M extends Methods<M>> {
  readonly #options: SupervisedOptions<M>;
  readonly #kept: Kept<NodeProcess>;

  private constructor(options: SupervisedOptions<M>) {
    this.#options = options;
    const { name, log } = options;
    this.#kept = new Kept<NodeProcess>({
      launch: (signal) => this.#launch(signal),
      failed: (reason) => log.error({ reason }, `the ${name} ended, it is started again`),
    });
  }

  /** @throws Failure `process_not_started`, `edge_process_failed`, or what the process refuses */
  static async start<M extends Methods<M>>(options: SupervisedOptions<M>): Promise<Supervised<M>> {
    const supervised = new Supervised(options);
    await supervised.#kept.start();
    return supervised;
  }

  /**
   * Waits for a process that knows everything, and asks it.
   * @throws what the process refuses; Failure `edge_process_ended` if it ends instead,
   * `edge_process_timeout`; the signal's reason
   */
  async call<K extends keyof M & string>(
    method: K,
    args: Parameters<M[K]>,
    signal?: AbortSignal,
  ): Promise<ReturnType<M[K]>> {
    const { name, rules } = this.#options;
    const { tries, deadline } = rules[method];
    const late = Number.isFinite(deadline) ? AbortSignal.timeout(deadline) : null;
    const given = AbortSignal.any([late, signal].filter((one) => one != null));
    try {
      for (let left = tries; ; left--) {
        const run = await untilAborted(this.#kept.ready(), given);
        try {
          return (await run.call(method, args, given)) as ReturnType<M[K]>;
        } catch (error) {
          if (!(error instanceof ProcessEnded) || this.#kept.isStopping) throw error;
          if (left <= 1) throw endedFailure(name, error.message);
          await run.ended;
        }
      }
    } catch (error) {
      if (late?.aborted && error === late.reason) throw timeout(name, deadline);
      throw error;
    }
  }

  status(): ProcessStatus {
    return this.#kept.status();
  }

  /** Lets it finish what is in flight; SIGKILL after `grace` ms. */
  async stop(grace: number): Promise<void> {
    await this.#kept.stop(grace);
  }

  async #launch(signal: AbortSignal): Promise<NodeProcess> {
    const { name, restore, startTimeout = 30_000 } = this.#options;
    const run = await NodeProcess.start(this.#options);
    const late = AbortSignal.timeout(startTimeout);
    const end = (): void =>
      run.kill(late.aborted ? `it was not ready after ${startTimeout / 1000} s` : "it was stopped");
    const given = AbortSignal.any([signal, late]);
    given.addEventListener("abort", end);
    try {
      await restore(async (method, ...args) => (await run.call(method, args)) as never);
      signal.throwIfAborted();
    } catch (error) {
      run.kill("it could not be told what it has to know");
      await run.ended;
      if (error instanceof Failure) throw error;
      throw new Failure("edge_process_failed", {
        message: `the ${name} does not start: ${error instanceof Error ? error.message : String(error)}`,
        cause: error,
      });
    } finally {
      given.removeEventListener("abort", end);
    }
    run.watch();
    return run;
  }
}

function timeout(name: string, ms: number): Failure {
  return new Failure("edge_process_timeout", {
    message: `the ${name} did not answer within ${ms / 1000} s`,
    facts: { process: name, timeout: ms },
  });
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
