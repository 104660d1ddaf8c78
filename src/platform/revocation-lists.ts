import { refreshList, type ListContext } from "../control/hosts/revocation-list-taking.ts";
import { dueRevocationLists } from "../store/hosts/revocation-lists.ts";
import { Rounds } from "./rounds.ts";

export interface RevocationListRefreshOptions extends ListContext {
  /** ms between two checks of which lists are due. Default: 10,000. */
  readonly interval?: number;
}

/**
 * Each fetch may take ten seconds. With this many at once, lists of one account do not delay those of another for long.
 */
const AT_ONCE = 20;

/** Fetches revocation lists again, each when its interval is over or its next update is due. */
export class RevocationListRefresh implements AsyncDisposable {
  readonly #options: RevocationListRefreshOptions;
  readonly #rounds = new Rounds();

  static start(options: RevocationListRefreshOptions): RevocationListRefresh {
    const { interval = 10_000, log } = options;
    const started = new RevocationListRefresh(options);
    started.#rounds.begin(() => started.look(), {
      interval,
      failed: (err) => log.error({ err }, "looking for revocation lists failed"),
    });
    return started;
  }

  /** A refresh that looks only when `look()` is called. */
  static idle(options: RevocationListRefreshOptions): RevocationListRefresh {
    return new RevocationListRefresh(options);
  }

  private constructor(options: RevocationListRefreshOptions) {
    this.#options = options;
  }

  async look(): Promise<void> {
    const { store, clock } = this.#options;
    const due = await dueRevocationLists(store.db, clock(), AT_ONCE);
    await Promise.all(due.map((row) => refreshList(this.#options, row)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rounds[Symbol.asyncDispose]();
  }
}
