/**
 * Has a sender of many small pieces wait. Each piece costs about what a kilobyte costs, so its turn is
 * longer than those of others.
 */
export class Rest {
  /** How many senders wait now. */
  static #waiting = 0;
  #ms = 0;

  get isOn(): boolean {
    return this.#ms > 0;
  }

  /**
   * A ms more, times the number of senders that wait: all of them together take a fixed share.
   * @param done called at its end; must not throw
   */
  extend(done: () => void): void {
    this.#ms += 1;
    if (this.#ms > 1) return;
    Rest.#waiting += 1;
    // What was read already still comes, and counts.
    setImmediate(() => {
      const end = (): void => {
        Rest.#waiting -= 1;
        this.#ms = 0;
        done();
      };
      setTimeout(end, this.#ms * Rest.#waiting).unref();
    });
  }
}
