import { Failure } from "../failures/failures.ts";
import { setTimeout as delay } from "node:timers/promises";
import type { ProcessStatus } from "../contract/edge.ts";
import { Backoff } from "./backoff.ts";

/** One run of a program. */
export interface Run {
  readonly pid: number;
  /** Resolves when the process has ended, with the reason in a sentence. Never rejects. */
  readonly ended: Promise<string>;
  /** Lets it finish what is in flight; SIGKILL after `grace` ms. */
  stop(grace: number): Promise<void>;
}

export interface KeptOptions<R extends Run> {
  /** Starts one run, and resolves when it is ready. If it rejects, nothing of the run remains. */
  launch(this: void, signal: AbortSignal): Promise<R>;
  /** ms between two runs, at most. Default: 30 s. */
  readonly longestPause?: number;
  /** A run ended, or did not start; another follows. */
  failed(this: void, reason: string, code?: string): void;
}

/** Keeps a program running: starts it again when it ends, with growing pauses. */
export class Kept<R extends Run> {
  readonly #options: KeptOptions<R>;
  readonly #backoff: Backoff;
  readonly #stopping = new AbortController();
  /** The run that is there, or the next one. */
  #ready: Promise<R>;
  #current: R | null = null;
  #state: ProcessStatus["state"] = "starting";
  #restarts = 0;
  #lastExit: string | null = null;
  /** As `performance.now()`. */
  #endedAt = -Infinity;

  constructor(options: KeptOptions<R>) {
    this.#options = options;
    this.#backoff = new Backoff(options.longestPause);
    this.#ready = Promise.reject(new Error("it was not started yet"));
    this.#ready.catch(() => {});
  }

  /** @throws what the first launch throws; it is not tried again then */
  async start(): Promise<R> {
    return this.#follow(this.#launch());
  }

  /** Like `start`, but goes on trying. Resolves once it runs, or has failed to `attempts` times. */
  async startOrRetry(attempts = 1): Promise<void> {
    const hasFailed = Promise.withResolvers<void>();
    let left = attempts;
    const failed = (error: unknown): void => {
      this.#failed(error);
      left -= 1;
      if (left === 0) hasFailed.resolve();
    };
    const run = this.#launch().catch((error: unknown) => {
      this.#stopping.signal.throwIfAborted();
      failed(error);
      return this.#restart(0, failed);
    });
    await Promise.race([this.#follow(run).catch(() => null), hasFailed.promise]);
  }

  /** The run that is there, or the next one. @throws once it was stopped */
  ready(): Promise<R> {
    return this.#ready;
  }

  get current(): R | null {
    return this.#current;
  }

  get isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Did a run end within the last `past` ms, or does one within the next `future` ms? */
  async hasEnded(past: number, future: number): Promise<boolean> {
    if (this.#current === null || performance.now() - this.#endedAt < past) return true;
    const lasts = delay(future, false, { ref: false });
    return Promise.race([this.#current.ended.then(() => true), lasts]);
  }

  /** It is not started again. The current run may continue. */
  retire(): void {
    if (this.#state !== "stopped") this.#state = "draining";
    this.#stopping.abort();
  }

  async stop(grace: number): Promise<void> {
    this.retire();
    await this.#ready.catch(() => {});
    await this.#current?.stop(grace);
    this.#state = "stopped";
  }

  status(): ProcessStatus {
    return {
      pid: this.#current?.pid ?? null,
      state: this.#state,
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  #follow(run: Promise<R>): Promise<R> {
    this.#ready = run;
    // Waiting callers get the error. It is not an error if no caller waits.
    run.catch(() => {});
    return run;
  }

  async #launch(): Promise<R> {
    const run = await this.#options.launch(this.#stopping.signal);
    this.#current = run;
    const since = performance.now();
    void run.ended.then((reason) => this.#ended(run, reason, performance.now() - since));
    if (!this.isStopping) this.#state = "running";
    return run;
  }

  #ended(run: R, reason: string, ranFor: number): void {
    if (this.#current === run) this.#current = null;
    this.#lastExit = reason;
    this.#endedAt = performance.now();
    if (this.isStopping) return;
    this.#failed(reason);
    void this.#follow(this.#restart(ranFor)).catch(() => {});
  }

  async #restart(ranFor: number, failed = this.#failed.bind(this)): Promise<R> {
    const { signal } = this.#stopping;
    for (let lasted = ranFor; ; lasted = 0) {
      await delay(this.#backoff.next(lasted), null, { signal });
      this.#restarts++;
      try {
        return await this.#launch();
      } catch (error) {
        signal.throwIfAborted();
        failed(error);
      }
    }
  }

  #failed(reason: unknown): void {
    this.#state = "restarting";
    this.#lastExit = reason instanceof Error ? reason.message : String(reason);
    this.#options.failed(this.#lastExit, ...(reason instanceof Failure ? [reason.code] : []));
  }
}
