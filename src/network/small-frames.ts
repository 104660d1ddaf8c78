import type { Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { guarded } from "../forward/guarded.ts";
import { Pieces } from "../forward/pieces.ts";
import { Rest } from "../forward/rest.ts";

/**
 * Bodies that come in many small frames over one HTTP/2 connection. Node makes a buffer of some hundred bytes for each
 * frame, and reads on, whoever waits, until the windows are full: a megabyte of frames of one byte would take a hundred
 * times its memory, and a second of everybody's time. So they are joined, and after many the connection is read no
 * further until others had their turn.
 */
export class SmallFrames {
  readonly #connection: Connection;
  readonly #rest = new Rest();

  constructor(connection: Duplex) {
    this.#connection = connection;
  }

  /** Whoever else replaces the stream's `push` has done so before. */
  join(stream: Http2Stream): void {
    const push = stream.push.bind(stream);
    const read = stream._read.bind(stream);
    let wantsMore = true;
    stream._read = (size) => {
      wantsMore = true;
      read(size);
    };
    const pieces = new Pieces(
      (all) => (wantsMore = push(all)),
      () => this.#wait(),
    );
    const passOn = guarded(stream, () => pieces.passOn());
    stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      if (chunk === null) {
        pieces.passOn();
        return push(null, encoding);
      }
      // Node has a tick after each frame.
      if (pieces.take(chunk)) setImmediate(passOn);
      return wantsMore;
    };
  }

  #wait(): void {
    const { _handle: handle } = this.#connection;
    if (!handle) return;
    handle.readStop();
    this.#rest.extend(() => this.#readOn());
  }

  #readOn(): void {
    const { _handle: handle } = this.#connection;
    // While something is being written, Node reads nothing either. It reads on by itself afterwards.
    if (!handle || (handle._parent?.writeQueueSize ?? 0) > 0) return;
    handle.readStart();
  }
}

/** As Node has it, which reads from it past the socket. Null: closed. */
interface Connection extends Duplex {
  readonly _handle?: {
    readStart(): void;
    readStop(): void;
    /** What TLS reads from. */
    readonly _parent?: { readonly writeQueueSize: number };
  } | null;
}
