const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * The wish that a program ends: Ctrl-C, SIGTERM, or a terminal that is closed. It is heard from the
 * making of this object on, so make it before the program says that it is ready: whoever reads that
 * may end it at once. A second signal ends the process at once.
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
