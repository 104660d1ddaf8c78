/** Has work begin a little at a time: all else has its turn in between. */
export class Pace {
  readonly #most: number;
  readonly #waiting: (() => void)[] = [];
  #begun = 0;

  /** @param most how much of it may begin in one turn of the event loop */
  constructor(most: number) {
    this.#most = most;
  }

  /** Resolves when the work may begin. */
  async turn(): Promise<void> {
    if (this.#begun === 0) setImmediate(() => this.#next());
    this.#begun += 1;
    if (this.#begun > this.#most) await new Promise<void>((begin) => this.#waiting.push(begin));
  }

  #next(): void {
    const next = this.#waiting.splice(0, this.#most);
    this.#begun = next.length + this.#waiting.length;
    if (this.#begun > 0) setImmediate(() => this.#next());
    for (const begin of next) begin();
  }
}
