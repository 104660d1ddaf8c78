import { Failure } from "../../../failures/failures.ts";
import { neighbourhood } from "../../../network/ranges.ts";
import type { Store } from "../../../store/store.ts";
import { findUserByEmail, membershipsOf } from "../../../store/access/users.ts";
import { Throttle } from "../../../network/throttle.ts";
import { verifyPassword } from "../passwords.ts";
import { Turns } from "../turns.ts";

/**
 * Checks passwords, and slows down those who give wrong ones. A try counts for the pair of person and address. So an
 * attacker behind an address keeps nobody else at that address out, and the attacked person can still sign in from
 * elsewhere.
 */
export class PasswordTries {
  readonly #store: Store;
  readonly #byBoth = new Throttle({ burst: 10, everyMs: 30_000 });
  /** Many people may share an address: its wrong answers come late, its right ones do not. */
  readonly #byAddress = new Throttle({ burst: 30, everyMs: 5_000 });
  /** One person from many addresses. The limit is far above what a person mistypes. */
  readonly #byPerson = new Throttle({ burst: 60, everyMs: 30_000 });
  /**
   * Pairs of person and address that have signed in before. They may sign in while strangers elsewhere guess at the
   * person's password.
   */
  readonly #known = new Set<string>();
  readonly #hashing = new Turns({ atOnce: 2, waiting: 20, waitingInAll: 200 });

  readonly #verify: typeof verifyPassword;

  constructor(store: Store, verify: typeof verifyPassword = verifyPassword) {
    this.#store = store;
    this.#verify = verify;
  }

  /**
   * @returns the person's id
   * @throws Failure `sign_in_failed`, `too_many_tries`
   */
  async check(email: string, password: string, address: string | null): Promise<string> {
    const { db } = this.#store;
    const near = neighbourhood(address ?? "");
    const name = email.toLowerCase().slice(0, 254);
    const both = `${near} ${name}`;
    this.#byBoth.assertFree(both);
    if (!this.#known.has(both)) this.#byPerson.assertFree(name);
    // Counted before the slow hash, so parallel tries count like consecutive ones.
    this.#byBoth.count(both);
    this.#byPerson.count(name);
    const user = await findUserByEmail(db, email);
    const right = await this.#hashing.run(near, () => this.#verify(password, user?.passwordHash));
    if (!user || !right) {
      await this.#byAddress.failed(near);
      throw new Failure("sign_in_failed");
    }
    this.#byBoth.forgive(both);
    this.#byPerson.forgive(name);
    this.#remember(both);
    if ((await membershipsOf(db, user.id)).length === 0) throw new Failure("sign_in_failed");
    return user.id;
  }

  #remember(both: string): void {
    this.#known.delete(both);
    this.#known.add(both);
    if (this.#known.size <= MOST_KNOWN) return;
    for (const oldest of this.#known) {
      this.#known.delete(oldest);
      break;
    }
  }
}

const MOST_KNOWN = 10_000;
