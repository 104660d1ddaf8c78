import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { FeedError, readFeed, readKeptFeed } from "./feed.ts";
import { KeptSerials } from "./kept-serials.ts";
import { Trust } from "./trust.ts";

export interface FollowOptions {
  /** The control plane's API, as `https://countersign.example/client/v4`. */
  readonly api: string;
  readonly account: string;
  /** A CA bundle of the account (`countersign identity ca export`), PEM. The first feed is checked against it. */
  readonly authorities: string;
  /** The name of a policy in the control plane. Default: none; the origin has its own policy. */
  readonly policy?: string;
  /**
   * A file for the last feed. With it, a start while the control plane is away has the last CAs and policy for at least
   * 15 hours; revoked serial numbers stay revoked for ever.
   */
  readonly cache?: string;
  /** Called once for each new reason why the control plane cannot be followed. Default: `console.warn`. */
  readonly log?: (message: string) => void;
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch;
  /** ms since 1970. Default: `Date.now`. */
  readonly clock?: () => number;
}

export interface Followed extends AsyncDisposable {
  readonly trust: Trust;
  /** The cursor of the feed that is in force. 0: none yet. */
  cursor(): number;
  /** Resolves when the first feed has come from the control plane or from the cache. */
  readonly ready: Promise<void>;
}

/**
 * Follows a control plane: changes of CAs, revocations and policy are in force within a second. The last feed stays in
 * force while the control plane is away, and when a feed cannot be read. A revoked serial number stays revoked, even if
 * the control plane forgets it, as after a restore of a backup.
 */
export function follow(options: FollowOptions): Followed {
  const { api, account, policy, cache, log = (message) => console.warn(message) } = options;
  const clock = options.clock ?? Date.now;
  const pinned = splitPem(options.authorities);
  if (pinned.length === 0) throw new TypeError("follow: `authorities` holds no certificate");
  const trust = new Trust({ authorities: pinned });
  const stop = new AbortController();
  const { promise: ready, resolve: isReady } = Promise.withResolvers<void>();
  const kept = new KeptSerials();
  let cursor = 0;
  let takenOn = Number.NEGATIVE_INFINITY;
  let said = "";

  const take = (jws: string): void => {
    const { authorities } = trust.state;
    const feed = readFeed(jws, { account, authorities, after: cursor, now: new Date(clock()) });
    if (feed.cursor === cursor) return;
    const revoked = kept.with(feed.revoked, trust.state.revoked);
    cursor = feed.cursor;
    trust.replace({
      authorities: feed.authorities,
      revoked,
      ...(policy !== undefined && { policy: feed.policy?.policy ?? null }),
    });
    isReady();
  };

  /** @throws if there is no file, or it belongs to another account. Its revocations count in any case. */
  const takeKept = async (file: string): Promise<void> => {
    const [jws = "", serials = "[]"] = (await readFile(file, "utf8")).split("\n");
    const { revoked } = readKeptFeed(jws, account);
    kept.add(JSON.parse(serials) as unknown);
    trust.replace({ revoked: kept.with(revoked, trust.state.revoked) });
    take(jws);
  };

  const ask = async (): Promise<void> => {
    const url = new URL(`${api}/accounts/${encodeURIComponent(account)}/countersign/identity/feed`);
    if (policy !== undefined) url.searchParams.set("policy", policy);
    // A kept file is valid for a limited time only, so a new feed is fetched after an hour even if nothing has changed.
    const isOld = cache !== undefined && Math.abs(clock() - takenOn) > HOUR;
    url.searchParams.set("after", String(isOld ? -1 : cursor));
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(40_000)]);
    const response = await (options.fetch ?? fetch)(url, { signal });
    if (response.status === 204) return;
    if (!response.ok) await response.body?.cancel();
    if (!response.ok) throw new FeedError(`the control plane answers ${response.status}`);
    const jws = await textOf(response);
    take(jws);
    takenOn = clock();
    if (cache !== undefined) await keep(cache, `${jws.trim()}\n${JSON.stringify([...kept])}\n`);
  };

  const pause = (ms: number): Promise<void> =>
    delay(ms, undefined, { signal: stop.signal }).catch(() => {});

  const run = async (): Promise<void> => {
    if (cache !== undefined) await takeKept(cache).catch(() => {});
    for (let failures = 0; !stop.signal.aborted;) {
      try {
        const begun = performance.now();
        await ask();
        // A server that answers at once, instead of holding the request, is not asked in a loop.
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

const HOUR = 3_600_000;

/** Bytes: more than a feed with 100,000 revoked certificates. */
const LONGEST_FEED = 16 * 1024 * 1024;

/** Of an answer whose sender may be anybody: what it says is judged only once it is whole. */
async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > LONGEST_FEED) {
      throw new FeedError(`the control plane's answer is longer than ${LONGEST_FEED} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function keep(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** The certificates of a PEM file, as one text each. */
export function splitPem(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
