const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * A request to stop: Ctrl-C, SIGTERM, or a closed terminal. Signals count from the moment this
 * object is made. Make it before the program says that it is ready, because the reader of that line
 * may stop it at once. A second signal ends the process at once.
 */
export class StopSignal implements Disposable {
  /** Resolves at the first signal, and never rejects. */
  readonly came: Promise<void>;
  readonly #stop: () => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.came = promise;
    this.#stop = () => {
      this[Symbol.dispose]();
      resolve();
    };
    for (const signal of signals) process.on(signal, this.#stop);
  }

  [Symbol.dispose](): void {
    for (const signal of signals) process.off(signal, this.#stop);
  }
}
