import type { HostChallenge } from "../contract/hosts.ts";

const PATH = "/.well-known/acme-challenge/";

/** Answers to ACME servers that issue certificates for our hosts (RFC 8555, HTTP-01; RFC 8737). */
export class Challenges {
  readonly #accounts = new Map<string, readonly HostChallenge[]>();

  get isEmpty(): boolean {
    return this.#accounts.size === 0;
  }

  /** Replaces those of one account. */
  update(accountId: string, challenges: readonly HostChallenge[]): void {
    if (challenges.length === 0) this.#accounts.delete(accountId);
    else this.#accounts.set(accountId, challenges);
  }

  /** Null: it belongs to no order of ours, and is handled like any request for the host. */
  answer(host: string, path: string): string | null {
    if (this.isEmpty || !path.startsWith(PATH)) return null;
    const token = path.slice(PATH.length);
    return this.#find((one) => one.host === host && one.token === token);
  }

  /** The key authorization that the host proves in a handshake. Null: there is no order for it. */
  proofOf(host: string): string | null {
    return this.#find((one) => one.host === host);
  }

  has(keyAuthorization: string): boolean {
    return this.#find((one) => one.keyAuthorization === keyAuthorization) !== null;
  }

  /** There are few: each is of an order that is under way. */
  #find(isMeant: (challenge: HostChallenge) => boolean): string | null {
    for (const challenges of this.#accounts.values()) {
      const found = challenges.find(isMeant);
      if (found !== undefined) return found.keyAuthorization;
    }
    return null;
  }
}
