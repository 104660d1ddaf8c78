import type { HostChallenge } from "../contract/hosts.ts";

const PATH = "/.well-known/acme-challenge/";

/** What ACME servers are answered while they issue for our hosts (RFC 8555, HTTP-01). */
export class Challenges {
  readonly #accounts = new Map<string, ReadonlyMap<string, string>>();

  /** Replaces those of one account. */
  update(accountId: string, challenges: readonly HostChallenge[]): void {
    const answers = challenges.map(
      ({ host, token, keyAuthorization }) => [`${host}/${token}`, keyAuthorization] as const,
    );
    if (answers.length === 0) this.#accounts.delete(accountId);
    else this.#accounts.set(accountId, new Map(answers));
  }

  /** Null: it is not asked for by an order of ours, and goes where all of the host's requests go. */
  answer(host: string, path: string): string | null {
    if (this.#accounts.size === 0 || !path.startsWith(PATH)) return null;
    const name = `${host}/${path.slice(PATH.length)}`;
    for (const answers of this.#accounts.values()) {
      const found = answers.get(name);
      if (found !== undefined) return found;
    }
    return null;
  }
}
