/** A limited number of connections. Further callers wait, in order, but not for ever. */
export class Places {
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  /**
   * @param limit how many there are now
   * @returns gives the place back; null: none became free within `timeout` ms
   */
  async take(limit: number, timeout: number): Promise<(() => void) | null> {
    if (this.#taken >= limit && !(await this.#wait(timeout))) return null;
    this.#taken += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#taken -= 1;
      this.#waiting.shift()?.();
    };
  }

  #wait(timeout: number): Promise<boolean> {
    return new Promise((fulfil) => {
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(free), 1);
        fulfil(false);
      }, timeout);
      const free = (): void => {
        clearTimeout(timer);
        fulfil(true);
      };
      this.#waiting.push(free);
    });
  }
}
