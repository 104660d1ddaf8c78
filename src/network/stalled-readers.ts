import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { attempt } from "../forward/guarded.ts";
import { type Placed, Unordered } from "../forward/unordered.ts";

/** One that something is sent to. */
interface Reader extends Placed {
  readonly stream: Duplex;
  readonly cut: () => void;
  /** Has it taken something since this was asked before, or does nothing wait for it? */
  readonly isReading: () => boolean;
  /** ms, rounded up to looks. */
  silence: number;
}

/**
 * Ends connections, and streams of HTTP/2, whose other end takes nothing of what waits for it. Each holds memory here, and where
 * its bytes come from. One to which nothing is to be sent is never late: a Worker may be silent for as long as it likes.
 */
export class StalledReaders {
  readonly #limit: number;
  readonly #every: number;
  readonly #onCut: () => void;
  readonly #readers = new Unordered<Reader>();
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param limit ms without a byte taken. 0: none
   * @param onCut hears of each that is ended
   */
  constructor(limit: number, onCut: () => void = () => {}) {
    this.#limit = limit;
    this.#every = Math.min(MOST_BETWEEN_LOOKS, Math.max(10, limit / 10));
    this.#onCut = onCut;
  }

  /**
   * Of whatever protocol.
   * @param cut ends it. Must not throw. Default: resets it
   */
  connection(socket: Socket, cut: () => void = () => reset(socket)): void {
    this.#watch(socket, takesFromWire(socket), cut);
  }

  /** @param cut ends it. Must not throw */
  stream(stream: Duplex, cut: () => void): void {
    this.#watch(stream, takesFrom(stream), cut);
  }

  #watch(stream: Duplex, isReading: () => boolean, cut: () => void): void {
    if (this.#limit === 0 || stream.destroyed) return;
    const reader = { stream, isReading, cut, index: 0, silence: 0 };
    this.#readers.add(reader);
    stream.once("close", () => this.#readers.remove(reader));
    this.#timer ??= setInterval(() => this.#look(), this.#every).unref();
  }

  #look(): void {
    if (this.#readers.all.length === 0) {
      clearInterval(this.#timer!);
      this.#timer = null;
    }
    for (const reader of this.#readers.all.slice()) {
      // The first look may come at once, so its time does not count.
      reader.silence = reader.isReading() ? 0 : reader.silence + this.#every;
      if (reader.silence - this.#every < this.#limit) continue;
      this.#readers.remove(reader);
      this.#onCut();
      reader.cut();
    }
  }
}

/** What the kernel has taken counts, to the byte: HTTP/2 and TLS write past the socket's own buffer. */
function takesFromWire(socket: Socket): () => boolean {
  const wire = inside(plainOf(socket))._handle;
  let before = 0;
  return () => {
    // Without it nothing is known, and nobody is cut.
    const waiting = wire?.writeQueueSize ?? 0;
    const taken = (wire?.bytesWritten ?? 0) - waiting;
    const isReading = waiting === 0 || taken > before;
    before = taken;
    return isReading;
  };
}

/** What a stream of HTTP/2 may send is a matter of its own window. */
function takesFrom(stream: Duplex): () => boolean {
  let before = 0;
  let hasDrained = false;
  stream.on("drain", () => (hasDrained = true));
  return () => {
    const { writableLength, writableEnded, writableFinished } = stream;
    // The end waits as well.
    const waiting = writableLength + (writableEnded && !writableFinished ? 1 : 0);
    const isReading = waiting === 0 || waiting < before || hasDrained;
    before = waiting;
    hasDrained = false;
    return isReading;
  };
}

/** The kernel lets go of what waits in it as well: megabytes, which it would keep offering for minutes. */
function reset(socket: Socket): void {
  // One that is being ended cannot be reset: libuv would keep it for good.
  if (!socket.writableEnded) attempt(() => plainOf(socket).resetAndDestroy());
  socket.destroy();
}

/** Beneath TLS. */
function plainOf(socket: Socket): Socket {
  return (socket instanceof TLSSocket ? inside(socket)._parent : null) ?? socket;
}

/** As Node has it. */
interface Inside {
  readonly _handle?: {
    /** Those that wait here, too. */
    readonly bytesWritten: number;
    /** Bytes that the kernel has not taken. */
    readonly writeQueueSize: number;
  } | null;
  /** What TLS was begun on. */
  readonly _parent?: Socket | null;
}

function inside(socket: Socket): Inside {
  return socket as Inside;
}

/** ms */
const MOST_BETWEEN_LOOKS = 10_000;
