import { makeCrl } from "../../identity/crl.ts";
import type { Identities } from "../../identity/identities.ts";
import type { Database } from "../../store/database.ts";
import { identitiesCursor, listAuthorities, listRevoked } from "../../store/identities.ts";

/** How long signed lists are reused, ms. */
const KEPT = 10 * 60_000;

interface Kept {
  readonly cursor: number;
  readonly madeOn: number;
  readonly lists: Promise<string>;
}

/**
 * The revocation lists of an account, PEM: for each trusted CA one of its intermediate and one of its root. OpenSSL,
 * and therefore PostgreSQL, needs a list for each certificate of a chain.
 */
export class RevocationLists {
  readonly #db: Database;
  readonly #identities: Identities;
  readonly #kept = new Map<string, Kept>();

  constructor(db: Database, identities: Identities) {
    this.#db = db;
    this.#identities = identities;
  }

  async of(account: string, now: Date): Promise<string> {
    await this.#identities.authority(account);
    const cursor = await identitiesCursor(this.#db, account);
    const kept = this.#kept.get(account);
    const age = now.getTime() - (kept?.madeOn ?? 0);
    if (kept?.cursor === cursor && age >= 0 && age < KEPT) return kept.lists;
    const lists = this.#make(account, cursor, now);
    this.#kept.set(account, { cursor, madeOn: now.getTime(), lists });
    lists.catch(() => this.#kept.delete(account));
    return lists;
  }

  async #make(account: string, number: number, now: Date): Promise<string> {
    const identities = this.#identities;
    const revoked = await listRevoked(this.#db, account, now);
    const lists: string[] = [];
    for (const row of await listAuthorities(this.#db, account)) {
      if (row.state === "retired" || row.chain === null) continue;
      const own = revoked
        .filter(({ authorityId }) => authorityId === row.id)
        .map(({ serial, revokedOn }) => ({
          serialNumber: serial,
          revokedOn: new Date(revokedOn!),
        }));
      lists.push(await makeCrl(identities.signer(row), { revoked: own, number, now }));
      const root = identities.root(row);
      if (row.rootCrl !== null) lists.push(row.rootCrl);
      if (root !== null) lists.push(await makeCrl(root, { revoked: [], number, now }));
    }
    return lists.join("");
  }
}
