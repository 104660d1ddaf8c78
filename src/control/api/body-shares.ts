import type { ServerResponse } from "node:http";
import { Failure } from "../../failures/failures.ts";

/** Bytes that the calls of one account may hold at once: request and response bodies. */
const MOST = 384 * 1024 * 1024;

/** The bytes that one call holds. They are given back when the call is over. */
export interface HeldBytes extends Disposable {
  /** @throws Failure `api_bytes_exhausted` if the account's calls would hold more than its share */
  add(bytes: number): void;
}

/** Limits the bytes of bodies that the control plane holds for each account. */
export class BodyShares {
  readonly #most: number;
  readonly #held: Map<string, number> = new Map();

  constructor(most: number = MOST) {
    this.#most = most;
  }

  open(accountId: string): HeldBytes {
    let own = 0;
    return {
      add: (bytes) => {
        const held = (this.#held.get(accountId) ?? 0) + bytes;
        if (held > this.#most) throw this.#exhausted();
        this.#held.set(accountId, held);
        own += bytes;
      },
      [Symbol.dispose]: () => {
        const left = (this.#held.get(accountId) ?? 0) - own;
        own = 0;
        if (left > 0) this.#held.set(accountId, left);
        else this.#held.delete(accountId);
      },
    };
  }

  #exhausted(): Failure {
    const mebibytes = this.#most / 1024 / 1024;
    return new Failure("api_bytes_exhausted", {
      message: `the account's calls that are under way would hold more than ${mebibytes} MiB`,
      facts: { limitBytes: this.#most, retryAfterSeconds: 1 },
    });
  }
}

/** For calls that are counted elsewhere, or not at all. */
export const uncounted: HeldBytes = { add: () => {}, [Symbol.dispose]: () => {} };

/**
 * Bytes. Smaller answers are not counted, so that a client learns the result of a change even when the limit is
 * reached.
 */
const SMALL_ANSWER = 64 * 1024;

/**
 * An answer stays in memory until its reader has taken it.
 * @param outgoing emits `close` once; if it is closed already, nothing is held. Absent: there is no connection
 * @throws Failure `api_bytes_exhausted`
 */
export function heldUntilSent(
  held: HeldBytes,
  bytes: number,
  outgoing: Pick<ServerResponse, "closed" | "destroyed" | "once"> | undefined,
): void {
  if (bytes < SMALL_ANSWER || outgoing === undefined) return;
  if (outgoing.closed || outgoing.destroyed) return;
  held.add(bytes);
  outgoing.once("close", () => held[Symbol.dispose]());
}
