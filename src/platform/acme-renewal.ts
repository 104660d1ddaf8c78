import { setTimeout as wait } from "node:timers/promises";
import { type AcmeContext, forgetOldChallenges, renew } from "../control/routing/acme-taking.ts";
import { dueRenewals } from "../store/acme.ts";

export interface AcmeRenewalOptions extends AcmeContext {
  /** ms between two looks at which certificates are due. Default: 60,000. */
  readonly interval?: number;
}

/** Renews hosts' certificates at the ACME servers that issued them, each after two thirds of its life. */
export class AcmeRenewal implements AsyncDisposable {
  readonly #options: AcmeRenewalOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  static start(options: AcmeRenewalOptions): AcmeRenewal {
    return new AcmeRenewal(options, true);
  }

  /** One that looks only when it is told to: `look()`. */
  static idle(options: AcmeRenewalOptions): AcmeRenewal {
    return new AcmeRenewal(options, false);
  }

  private constructor(options: AcmeRenewalOptions, running: boolean) {
    this.#options = options;
    this.#running = running ? this.#follow() : Promise.resolve();
  }

  async look(): Promise<void> {
    const { store, clock } = this.#options;
    await forgetOldChallenges(this.#options);
    const due = await dueRenewals(store.db, clock());
    await Promise.all(due.map((row) => renew(this.#options, row, this.#stop.signal)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #follow(): Promise<void> {
    const { interval = 60_000, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.look().catch((err: unknown) => log.error({ err }, "renewing by ACME failed"));
      await wait(interval, undefined, { signal }).catch(() => {});
    }
  }
}
