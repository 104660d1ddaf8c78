import type { Policy } from "./policy.ts";
import { RevokedSerials } from "./revocations.ts";

/** What an origin goes by at this moment. Replaced as a whole, never half. */
export interface TrustState {
  /** CAs of callers, PEM. */
  readonly authorities: readonly string[];
  readonly revoked: RevokedSerials;
  /** Null: none is in force, and everybody is refused. */
  readonly policy: Policy | null;
}

/** Trust that can change while the server runs. */
export class Trust {
  #state: TrustState;
  /** Counts the changes after which a connection that was let in before has to prove itself again. */
  #epoch = 0;
  readonly #listeners = new Set<() => void>();

  constructor(state: Partial<TrustState> = {}) {
    this.#state = { authorities: [], revoked: new RevokedSerials(), policy: null, ...state };
  }

  get state(): TrustState {
    return this.#state;
  }

  /** The policy in force: an `Authorizer` takes the whole object. */
  get policy(): Policy | null {
    return this.#state.policy;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** In force for the next request, on open connections too. */
  replace(state: Partial<TrustState>): void {
    const before = this.#state;
    this.#state = { ...before, ...state };
    const authorities = new Set(this.#state.authorities.map((pem) => pem.trim()));
    if (before.authorities.some((pem) => !authorities.has(pem.trim()))) this.#epoch++;
    for (const listener of this.#listeners) listener();
  }

  /** @returns how to stop */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
