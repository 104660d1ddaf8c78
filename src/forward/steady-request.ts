import { IncomingMessage } from "node:http";
import { Pieces } from "./pieces.ts";
import { Rest } from "./rest.ts";

/**
 * A request whose body comes in pieces of a useful size, for `createServer({ IncomingMessage })`. Node
 * makes a buffer of some hundred bytes for each chunk, and reads on until 128 KiB of a body are there:
 * a client that sends each byte as a chunk of its own could take 50 MB, and seconds of everybody's time.
 */
export class SteadyRequest extends IncomingMessage {
  /** Made with the first chunk: most requests have no body. */
  #pieces: Pieces | null = null;
  #rest: Rest | null = null;
  #wantsMore = true;

  /** Node's parser calls it with each chunk, and reads no more of the connection after `false`. */
  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) {
      this.#pieces?.passOn();
      return super.push(null, encoding);
    }
    this.#pieces ??= new Pieces(
      (joined) => (this.#wantsMore = super.push(joined)),
      () => (this.#rest ??= new Rest()).extend(() => this.#readOn()),
    );
    // Node has a tick after each chunk.
    if (this.#pieces.take(chunk)) setImmediate(() => this.#pieces?.passOn());
    return this.#wantsMore && !this.#isResting;
  }

  override _read(size: number): void {
    this.#wantsMore = true;
    if (!this.#isResting) super._read(size);
  }

  get #isResting(): boolean {
    return this.#rest?.isOn === true;
  }

  #readOn(): void {
    if (this.#wantsMore && !this.destroyed) super._read(0);
  }
}
