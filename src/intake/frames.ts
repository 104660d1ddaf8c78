import type { PairBytes } from "../certificates/key-intake.ts";
import { FRAME, HEADER_BYTES } from "./messages.ts";

/** What was sent of one upload: a body, or a pair of files. */
export type Received = Buffer | PairBytes;

/** Puts uploads together that come in frames, several at once. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  readonly #parts = new Map<number, (readonly [kind: number, bytes: Buffer])[]>();
  readonly #whole = new Map<number, PromiseWithResolvers<Received>>();

  push(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + this.#rest.readUInt32BE(5);
      if (this.#rest.length < end) return;
      this.#frame(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
    }
  }

  /** Resolves once all of the upload is there, and lets go of it. */
  async whole(id: number): Promise<Received> {
    const received = await this.#wanted(id).promise;
    this.forget(id);
    return received;
  }

  forget(id: number): void {
    this.#parts.delete(id);
    this.#whole.delete(id);
  }

  #frame(frame: Buffer): void {
    const id = frame.readUInt32BE(0);
    const kind = frame.readUInt8(4);
    const parts = this.#parts.get(id) ?? [];
    this.#parts.set(id, parts);
    if (kind !== FRAME.end) parts.push([kind, frame.subarray(HEADER_BYTES)]);
    else this.#wanted(id).resolve(joined(parts));
  }

  #wanted(id: number): PromiseWithResolvers<Received> {
    const known = this.#whole.get(id) ?? Promise.withResolvers<Received>();
    this.#whole.set(id, known);
    return known;
  }
}

function joined(parts: readonly (readonly [kind: number, bytes: Buffer])[]): Received {
  const of = (wanted: number): Buffer =>
    Buffer.concat(parts.filter(([kind]) => kind === wanted).map(([, bytes]) => bytes));
  if (parts.some(([kind]) => kind === FRAME.certificate)) {
    return { certificate: of(FRAME.certificate), key: of(FRAME.key) };
  }
  return of(parts.some(([kind]) => kind === FRAME.texts) ? FRAME.texts : FRAME.body);
}
