import type { TLSSocket } from "node:tls";

/**
 * Ends connections whose other end keeps TLS itself busy: with updates of keys, tickets, renegotiation. OpenSSL takes
 * any number of them, each costs what a page of data does, and no event tells of most. They are seen by
 * what comes over the wire and is no data.
 */
export class TlsFloods {
  readonly #watched = new Map<TLSSocket, Seen>();
  #timer: NodeJS.Timeout | null = null;

  /** @param tls whose handshake is over */
  watch(tls: TLSSocket): void {
    const wire = wireOf(tls);
    // Without it nothing is known: TLS goes on as it does without this.
    if (wire === undefined) return;
    this.#watched.set(tls, { wire, bytes: wire.bytesRead, data: tls.bytesRead });
    tls.once("close", () => this.#forget(tls));
    this.#timer ??= setInterval(() => this.#look(), EVERY).unref();
  }

  #look(): void {
    for (const [tls, seen] of this.#watched) {
      const [bytes, data] = [seen.wire.bytesRead, tls.bytesRead];
      const beside = bytes - seen.bytes - (data - seen.data) * RECORD;
      seen.bytes = bytes;
      seen.data = data;
      if (beside > MOST) tls.destroy(flood(beside));
    }
  }

  #forget(tls: TLSSocket): void {
    this.#watched.delete(tls);
    if (this.#watched.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** What TLS itself reads from, as Node has it. */
export function wireOf(tls: TLSSocket): { readonly bytesRead: number } | undefined {
  const { _handle: handle } = tls as TLSSocket & {
    readonly _handle?: { readonly _parent?: { readonly bytesRead: number } } | null;
  };
  return handle?._parent;
}

export const TLS_FLOOD = "ERR_TLS_FLOOD";

function flood(bytes: number): Error {
  const message = `${bytes} bytes of TLS that are no data came within a second`;
  return Object.assign(new Error(message), { code: TLS_FLOOD });
}

interface Seen {
  readonly wire: { readonly bytesRead: number };
  /** That were read from the wire. */
  bytes: number;
  data: number;
}

/** ms */
const EVERY = 1_000;
/** Bytes within that time: a renegotiation with a long list of CAs has less. */
const MOST = 128 * 1024;
/** Bytes on the wire that a byte of data may take: a record of its own has fewer. */
const RECORD = 64;
