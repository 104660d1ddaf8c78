import { RevokedSerials } from "./revocations.ts";

/** At most this many are kept; the oldest are dropped first. */
const MOST = 100_000;

/**
 * Serial numbers that were revoked once and that the control plane no longer names: they have expired, or it was
 * restored from a backup that does not know them. None of them is let in again.
 */
export class KeptSerials {
  readonly #serials = new Set<string>();

  /** Anything that is not a list of strings is ignored. */
  add(serials: unknown): void {
    if (!Array.isArray(serials)) return;
    for (const serial of serials) if (typeof serial === "string") this.#serials.add(serial);
    for (const oldest of this.#serials) {
      if (this.#serials.size <= MOST) break;
      this.#serials.delete(oldest);
    }
  }

  /** A list of the serial numbers that are named now, and of all that were in force before. */
  with(told: readonly string[], before: RevokedSerials): RevokedSerials {
    const revoked = new RevokedSerials();
    for (const serial of told) revoked.add(serial);
    this.add([...before.missingFrom(revoked)]);
    for (const serial of this.#serials) revoked.add(serial);
    return revoked;
  }

  [Symbol.iterator](): Iterator<string> {
    return this.#serials.values();
  }
}
