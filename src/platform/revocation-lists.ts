import { setTimeout as wait } from "node:timers/promises";
import { refreshList, type TakingContext } from "../control/hosts/revocation-list-taking.ts";
import { dueRevocationLists } from "../store/revocation-lists.ts";

export interface RevocationListRefreshOptions extends TakingContext {
  /** ms between two looks at which lists are due. Default: 10,000. */
  readonly interval?: number;
}

/** Each may take ten seconds, and those of one account do not keep another's waiting for long. */
const AT_ONCE = 20;

/** Fetches revocation lists again, each when its own interval is over or its next one is due. */
export class RevocationListRefresh implements AsyncDisposable {
  readonly #options: RevocationListRefreshOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  static start(options: RevocationListRefreshOptions): RevocationListRefresh {
    return new RevocationListRefresh(options, true);
  }

  /** One that looks only when it is told to: `look()`. */
  static idle(options: RevocationListRefreshOptions): RevocationListRefresh {
    return new RevocationListRefresh(options, false);
  }

  private constructor(options: RevocationListRefreshOptions, running: boolean) {
    this.#options = options;
    this.#running = running ? this.#follow() : Promise.resolve();
  }

  async look(): Promise<void> {
    const { store, clock } = this.#options;
    const due = await dueRevocationLists(store.db, clock(), AT_ONCE);
    await Promise.all(due.map((row) => refreshList(this.#options, row)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #follow(): Promise<void> {
    const { interval = 10_000, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.look().catch((err: unknown) =>
        log.error({ err }, "looking for revocation lists failed"),
      );
      await wait(interval, undefined, { signal }).catch(() => {});
    }
  }
}
