/**
 * Joins the small pieces of a body that come at the same time. A peer may send each byte as a chunk
 * of its own: written one by one, they would cost hundreds of times what their bytes cost.
 */
export class Pieces {
  #joined: Buffer[] = [];
  readonly #write: (chunk: Buffer) => void;
  readonly #many: () => void;

  /**
   * @param write takes what goes on, in its order
   * @param many called after each 256 small pieces that came at the same time
   */
  constructor(write: (chunk: Buffer) => void, many: () => void) {
    this.#write = write;
    this.#many = many;
  }

  /** True: the first small piece since the last `passOn`, which the caller calls soon. */
  take(chunk: Buffer): boolean {
    if (chunk.length >= SMALL) {
      this.passOn();
      this.#write(chunk);
      return false;
    }
    const count = this.#joined.push(chunk);
    if (count < MANY) return count === 1;
    this.passOn();
    this.#many();
    return false;
  }

  /** Writes what is held back. */
  passOn(): void {
    const joined = this.#joined;
    if (joined.length === 0) return;
    this.#joined = [];
    this.#write(joined.length === 1 ? joined[0]! : Buffer.concat(joined));
  }
}

/** Bytes: a piece that is smaller waits for those that come with it. */
const SMALL = 1_024;
const MANY = 256;
