/**
 * Ensures that one process at a time may write to a folder. workerd locks nothing: two processes with the same folder
 * would run two instances of an object.
 */
export class Claims {
  readonly #held = new Map<string, Promise<void>>();

  /**
   * Waits until no other process has any of them, and takes all.
   * @returns a function that gives them back
   */
  async take(ids: readonly string[], signal?: AbortSignal): Promise<() => void> {
    for (;;) {
      signal?.throwIfAborted();
      const held = ids.flatMap((id) => this.#held.get(id) ?? []);
      if (held.length === 0) break;
      await either(Promise.race(held), signal);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const id of ids) this.#held.set(id, promise);
    return () => {
      for (const id of ids) {
        if (this.#held.get(id) === promise) this.#held.delete(id);
      }
      resolve();
    };
  }
}

async function either(one: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const cut = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", cut, { once: true });
  try {
    await Promise.race([one, promise]);
  } finally {
    signal?.removeEventListener("abort", cut);
  }
}
