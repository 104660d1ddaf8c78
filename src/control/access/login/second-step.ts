import { Failure } from "../../../failures/failures.ts";
import type { Audit } from "../../../store/access/audit.ts";
import { findUser, membershipsOf } from "../../../store/access/users.ts";
import { Throttle } from "../../../network/throttle.ts";
import { useCode } from "../second-factor.ts";
import type { LoginContext } from "./provider.ts";

/** How long the code may come after the right password, ms. */
const PATIENCE = 300_000;
const MOST = 10_000;

/** Sign-ins with the right password that still lack the code, each with its person. */
export class SecondSteps {
  readonly #context: LoginContext;
  readonly #waiting = new Map<string, { readonly userId: string; readonly until: number }>();
  /** Per person, from any address, because six digits can be guessed. Only somebody with the password gets this far. */
  readonly #tries = new Throttle({ burst: 5, everyMs: 60_000 });

  constructor(context: LoginContext) {
    this.#context = context;
  }

  /** Called when the password was right. */
  begin(uid: string, userId: string): void {
    this.#waiting.delete(uid);
    this.#waiting.set(uid, { userId, until: performance.now() + PATIENCE });
    if (this.#waiting.size <= MOST) return;
    for (const oldest of this.#waiting.keys()) {
      this.#waiting.delete(oldest);
      break;
    }
  }

  isBegun(uid: string): boolean {
    const waiting = this.#waiting.get(uid);
    return waiting !== undefined && waiting.until > performance.now();
  }

  /**
   * @returns the person's id
   * @throws Failure `sign_in_lapsed`, `sign_in_code_wrong`, `too_many_tries`
   */
  async check(uid: string, code: string, address: string | null): Promise<string> {
    const { store, keyring, clock } = this.#context;
    const userId = this.#waiting.get(uid)?.userId;
    if (userId === undefined || !this.isBegun(uid)) throw new Failure("sign_in_lapsed");
    this.#tries.assertFree(userId);
    this.#tries.count(userId);
    const user = await findUser(store.db, userId);
    if (!user) throw new Failure("sign_in_lapsed");
    const { value: used } = await store.write(async ({ db }) => {
      const which = await useCode(db, keyring, { user, code, now: clock() });
      const accountId = (await membershipsOf(db, user.id))[0]?.accountId ?? null;
      const audit: Audit = {
        by: { kind: "user", id: user.id, email: user.email, address },
        action: "user.factor",
        accountId,
        resource: { type: "user", id: user.id, name: user.email },
        after: { state: "a recovery code was used" },
      };
      return { value: which, audit: which === "recovery" ? audit : null };
    });
    if (used === null) throw new Failure("sign_in_code_wrong");
    this.#tries.forgive(userId);
    this.#waiting.delete(uid);
    return user.id;
  }
}
