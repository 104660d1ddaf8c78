import { lookup, type LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { Failure } from "../../failures/failures.ts";
import type { Resolve } from "../../network/lookups.ts";

/**
 * As this machine resolves names: hosts file, then DNS. What ends in `.localhost` is this machine,
 * though not every system's resolver knows it (RFC 6761, section 6.3).
 */
export function systemResolve(host: string): Promise<readonly LookupAddress[]> {
  if (host.toLowerCase().endsWith(".localhost")) return systemResolve("localhost");
  return new Promise((fulfil, reject) => {
    lookup(host, { all: true }, (error, addresses) => {
      if (error) reject(error);
      else fulfil(addresses);
    });
  });
}

/**
 * Lets connections that are opened together share a look-up: what was found stands for a second.
 * Users of the addresses judge them each time. One that goes away takes it from no other.
 */
export function sharedFor(ms: number, resolve: Resolve): Resolve {
  const shared = new Map<string, SharedLookup>();
  return (host, signal) => {
    const running = shared.get(host) ?? new SharedLookup(host, resolve);
    if (!shared.has(host)) {
      shared.set(host, running);
      running.abandoned(() => {
        if (shared.get(host) === running) shared.delete(host);
      });
      setTimeout(() => {
        if (shared.get(host) === running) shared.delete(host);
      }, ms).unref();
    }
    running.join(signal);
    return running.found;
  };
}

class SharedLookup {
  readonly found: Promise<readonly LookupAddress[]>;
  readonly #cancel: AbortController = new AbortController();
  #waiting = 0;

  constructor(host: string, resolve: Resolve) {
    this.found = resolve(host, this.#cancel.signal);
  }

  abandoned(then: () => void): void {
    this.#cancel.signal.addEventListener("abort", then);
  }

  join(signal: AbortSignal | undefined): void {
    this.#waiting += 1;
    const left = (): void => {
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#cancel.abort(signal?.reason);
    };
    signal?.addEventListener("abort", left);
    const settled = (): void => signal?.removeEventListener("abort", left);
    this.found.then(settled, settled);
  }
}

/** @throws Failure `origin_name_not_found`, `origin_name_timeout` */
export async function resolveWithin(
  ms: number,
  host: string,
  resolve: Resolve,
  signal?: AbortSignal,
): Promise<readonly LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  const given = new AbortController();
  const late = Promise.withResolvers<never>();
  const cancelled = (): void => late.reject(signal?.reason as Error);
  signal?.addEventListener("abort", cancelled);
  const timer = setTimeout(() => {
    late.reject(
      new Failure("origin_name_timeout", {
        message: `"${host}" did not resolve within ${ms} ms`,
        facts: { host, timeoutMs: ms },
      }),
    );
  }, ms);
  try {
    signal?.throwIfAborted();
    return await Promise.race([resolve(host, given.signal), late.promise]);
  } catch (error) {
    if (error instanceof Failure || signal?.aborted === true) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === "TOO_MANY_LOOKUPS") {
      throw new Failure("binding_lookups_exhausted", { facts: { host }, cause: error });
    }
    if (code === "EMFILE" || code === "ENFILE") {
      throw new Failure("machine_files_exhausted", { facts: { host, errno: code }, cause: error });
    }
    throw new Failure("origin_name_not_found", {
      message: `"${host}" does not resolve (${code})`,
      facts: { host, resolver: code },
      cause: error,
    });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", cancelled);
    // Nobody waits for it any more, if it still runs.
    given.abort(NOBODY_WAITS);
  }
}

/** Made once: an `abort()` without a reason makes one, with its stack, for each connection. */
const NOBODY_WAITS = new Error("nobody waits for this look-up any more");
