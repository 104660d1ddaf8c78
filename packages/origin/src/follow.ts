import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { FeedError, readFeed } from "./feed.ts";
import { RevokedSerials } from "./revocations.ts";
import { Trust } from "./trust.ts";

export interface FollowOptions {
  /** The control plane's API, as `https://countersign.example/client/v4`. */
  readonly api: string;
  readonly account: string;
  /** A CA bundle of the account (`countersign identity ca export`), PEM: what the first feed is checked against. */
  readonly authorities: string;
  /** The control plane's policy of that name. Default: none, the policy is one's own. */
  readonly policy?: string;
  /** A file for the last feed: with it, a start without the control plane has what was in force. */
  readonly cache?: string;
  /** Told once of each new reason why the control plane is not followed. Default: `console.warn`. */
  readonly log?: (message: string) => void;
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch;
}

export interface Followed extends AsyncDisposable {
  readonly trust: Trust;
  /** The cursor that is in force. 0: none yet. */
  cursor(): number;
  /** Resolves when the control plane, or the cache, has told something. */
  readonly ready: Promise<void>;
}

/**
 * Follows a control plane: CAs, revocations and policy are in force within a second of their change.
 * What came last stays in force while the control plane is away, and over what cannot be read.
 */
export function follow(options: FollowOptions): Followed {
  const { api, account, policy, cache, log = (message) => console.warn(message) } = options;
  const pinned = splitPem(options.authorities);
  if (pinned.length === 0) throw new TypeError("follow: `authorities` holds no certificate");
  const trust = new Trust({ authorities: pinned });
  const stop = new AbortController();
  const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
  let cursor = 0;
  let said = "";

  const take = (jws: string): boolean => {
    const { authorities } = trust.state;
    const feed = readFeed(jws, { account, authorities, after: cursor, now: new Date() });
    if (feed.cursor === cursor) return false;
    const revoked = new RevokedSerials();
    for (const serial of feed.revoked) revoked.add(serial);
    cursor = feed.cursor;
    trust.replace({
      authorities: feed.authorities,
      revoked,
      ...(policy !== undefined && { policy: feed.policy?.policy ?? null }),
    });
    isReady();
    return true;
  };

  const ask = async (): Promise<void> => {
    const url = new URL(`${api}/accounts/${encodeURIComponent(account)}/countersign/identity/feed`);
    if (policy !== undefined) url.searchParams.set("policy", policy);
    url.searchParams.set("after", String(cursor));
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(40_000)]);
    const response = await (options.fetch ?? fetch)(url, { signal });
    if (response.status === 204) return;
    if (!response.ok) throw new FeedError(`the control plane answers ${response.status}`);
    const jws = await response.text();
    if (take(jws) && cache !== undefined) await keep(cache, jws);
  };

  const pause = (ms: number): Promise<void> =>
    delay(ms, undefined, { signal: stop.signal }).catch(() => {});

  const run = async (): Promise<void> => {
    if (cache !== undefined)
      await readFile(cache, "utf8")
        .then(take)
        .catch(() => false);
    for (let failures = 0; !stop.signal.aborted;) {
      try {
        const begun = performance.now();
        await ask();
        // One that does not hold the question open is not asked in a loop.
        if (performance.now() - begun < 250) await pause(250);
        failures = 0;
        said = "";
      } catch (error) {
        if (stop.signal.aborted) return;
        const reason = describe(error);
        if (reason !== said)
          log(`the control plane is not followed, what was in force stays: ${reason}`);
        said = reason;
        failures++;
        await pause(Math.min(250 * 2 ** Math.min(failures, 5), 5_000));
      }
    }
  };
  const running = run();

  return {
    trust,
    ready,
    cursor: () => cursor,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

async function keep(file: string, jws: string): Promise<void> {
  await writeFile(`${file}.new`, jws, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The certificates of a PEM file, each by itself. */
export function splitPem(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
