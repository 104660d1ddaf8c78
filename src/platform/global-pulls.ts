import { setTimeout as wait } from "node:timers/promises";
import type { Logger } from "pino";
import { type GlobalPullContext, renewGlobalPulls } from "../control/routing/global-pulls.ts";
import type { Store } from "../store/store.ts";

interface Options extends GlobalPullContext {
  readonly store: Store;
  readonly log: Logger;
}

/** ms between two looks. Certificates are renewed a month before their expiry. */
const INTERVAL = 6 * 3_600_000;

/** Renews the global certificate of origin pulls. When this returns, the first look is done. */
export async function keepGlobalPullsFresh(options: Options): Promise<AsyncDisposable> {
  const stop = new AbortController();
  const look = async (): Promise<void> => {
    await renewGlobalPulls(options).catch((err: unknown) =>
      options.log.error({ err }, "the global certificate of origin pulls is not renewed"),
    );
  };
  await look();
  const running = (async (): Promise<void> => {
    const { signal } = stop;
    while (!signal.aborted) {
      await wait(INTERVAL, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await look();
    }
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}
