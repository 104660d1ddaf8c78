import type { Policy } from "./policy.ts";
import { RevokedSerials } from "./revocations.ts";

/** What an origin judges callers by. It is replaced as a whole. */
export interface TrustState {
  /** CAs of callers, PEM. */
  readonly authorities: readonly string[];
  readonly revoked: RevokedSerials;
  /** Null: no policy is in force, and everybody is refused. */
  readonly policy: Policy | null;
}

/** Trust that can change while the server runs. */
export class Trust {
  #state: TrustState;
  /** Incremented by each change after which connections that were already let in must be judged again. */
  #epoch = 0;
  readonly #listeners = new Set<() => void>();

  constructor(state: Partial<TrustState> = {}) {
    this.#state = { authorities: [], revoked: new RevokedSerials(), policy: null, ...state };
  }

  get state(): TrustState {
    return this.#state;
  }

  /** The policy in force. An `Authorizer` takes this object as its source. */
  get policy(): Policy | null {
    return this.#state.policy;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** In force from the next request on, on open connections too. */
  replace(state: Partial<TrustState>): void {
    const before = this.#state;
    this.#state = { ...before, ...state };
    const authorities = new Set(this.#state.authorities.map((pem) => pem.trim()));
    if (before.authorities.some((pem) => !authorities.has(pem.trim()))) this.#epoch++;
    for (const listener of this.#listeners) listener();
  }

  /** @returns a function that stops the calls */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
