import { performance } from "node:perf_hooks";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";

/** Connections that were made before a request needs one, each for HTTP/1.1. */
export class ReadyConnections {
  readonly #open: () => Promise<Duplex>;
  readonly #ready: Map<Duplex, NodeJS.Timeout> = new Map();
  #isEnded = false;

  constructor(open: () => Promise<Duplex>) {
    this.#open = open;
  }

  /**
   * One after the other, so that requests go on meanwhile, and each goes on with a session of the one before. Stops at
   * the first that cannot be made: the next request gets the reason.
   * @param until of `performance.now()`
   */
  async make(count: number, until: number): Promise<void> {
    for (let made = 0; made < count && performance.now() < until && !this.#isEnded; made++) {
      const opening = this.#open().then((stream) => this.#keep(stream));
      const late = Promise.withResolvers<false>();
      const timer = setTimeout(late.resolve, until - performance.now(), false);
      const isKept = await Promise.race([opening, late.promise]).catch(() => false);
      clearTimeout(timer);
      if (!isKept) return;
    }
  }

  /** One that is still open. Null: there is none. */
  take(): Duplex | null {
    for (const [stream, timer] of this.#ready) {
      clearTimeout(timer);
      this.#ready.delete(stream);
      stream.removeAllListeners("readable");
      if (!stream.destroyed) return stream;
    }
    return null;
  }

  /** Closes what nobody has taken. */
  end(): void {
    this.#isEnded = true;
    for (const stream of this.#ready.keys()) stream.destroy();
  }

  /** @returns false if it is not kept */
  #keep(stream: Duplex): boolean {
    if (this.#isEnded || (stream instanceof TLSSocket && stream.alpnProtocol === "h2")) {
      stream.destroy();
      return false;
    }
    this.#ready.set(
      stream,
      setTimeout(() => stream.destroy(), KEPT),
    );
    // Nothing was asked: the origin ends it, or breaks the protocol.
    stream.once("readable", () => stream.destroy());
    stream.once("close", () => {
      clearTimeout(this.#ready.get(stream));
      this.#ready.delete(stream);
    });
    return true;
  }
}

/** ms that one waits for a request. */
const KEPT = 1_000;
