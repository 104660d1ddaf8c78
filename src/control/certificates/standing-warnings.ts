import { setImmediate as turn } from "node:timers/promises";
import type { Logger } from "pino";
import { standingWarnings } from "../../certificates/standing.ts";
import { unjudgedVersions, writeWarnings } from "../../store/certificates/certificate-versions.ts";
import type { Store } from "../../store/store.ts";

/** Work that goes on until it is finished or disposed of. */
export interface Judging extends AsyncDisposable {
  readonly finished: Promise<void>;
}

/**
 * Judges the certificates that an older version has stored without their warnings, one at a time, so that nobody who
 * lists them waits for that.
 */
export function judgeStored(store: Store, log: Logger): Judging {
  const stop = new AbortController();
  const finished = judgeAll(store, stop.signal).catch((error: unknown) => {
    log.warn({ err: error }, "certificates of an earlier version could not be judged");
  });
  return {
    finished,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await finished;
    },
  };
}

async function judgeAll(store: Store, signal: AbortSignal): Promise<void> {
  for (;;) {
    const versions = await unjudgedVersions(store.db, AT_ONCE);
    if (versions.length === 0) return;
    for (const version of versions) {
      await turn();
      if (signal.aborted) return;
      const warnings = standingWarnings(version.chain, version.sealedKey === null);
      await store.housekeep(({ db }) => writeWarnings(db, version, warnings));
    }
  }
}

const AT_ONCE = 50;
