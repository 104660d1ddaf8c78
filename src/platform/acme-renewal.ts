import { type AcmeContext, forgetOldChallenges, renew } from "../control/routing/acme-taking.ts";
import { dueRenewals } from "../store/hosts/acme.ts";
import { Rounds } from "./rounds.ts";

export interface AcmeRenewalOptions extends AcmeContext {
  /** ms between two checks of which certificates are due. Default: 60,000. */
  readonly interval?: number;
}

/** Renews hosts' certificates at the ACME servers that issued them, each after two thirds of its life. */
export class AcmeRenewal implements AsyncDisposable {
  readonly #options: AcmeRenewalOptions;
  readonly #rounds = new Rounds();

  static start(options: AcmeRenewalOptions): AcmeRenewal {
    const { interval = 60_000, log } = options;
    const started = new AcmeRenewal(options);
    started.#rounds.begin(() => started.look(), {
      interval,
      failed: (err) => log.error({ err }, "renewing by ACME failed"),
    });
    return started;
  }

  /** A renewal that looks only when `look()` is called. */
  static idle(options: AcmeRenewalOptions): AcmeRenewal {
    return new AcmeRenewal(options);
  }

  private constructor(options: AcmeRenewalOptions) {
    this.#options = options;
  }

  async look(): Promise<void> {
    const { store, clock } = this.#options;
    await forgetOldChallenges(this.#options);
    const due = await dueRenewals(store.db, clock());
    await Promise.all(due.map((row) => renew(this.#options, row, this.#rounds.signal)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }
}
