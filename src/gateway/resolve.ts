import { lookup, type LookupAddress } from "node:dns";
import { isIP } from "node:net";
import { Failure } from "../failures/failures.ts";

/** Finds the addresses of a name. Rejects with an error of the resolver's, whose `code` says why. */
export type Resolve = (host: string) => Promise<readonly LookupAddress[]>;

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
 * Whoever uses the addresses judges them each time.
 */
export function sharedFor(ms: number, resolve: Resolve): Resolve {
  const shared = new Map<string, Promise<readonly LookupAddress[]>>();
  return (host) => {
    const running = shared.get(host);
    if (running !== undefined) return running;
    const found = resolve(host);
    shared.set(host, found);
    setTimeout(() => shared.delete(host), ms).unref();
    return found;
  };
}

/** @throws Failure `origin_name_not_found`, `origin_name_timeout` */
export async function resolveWithin(
  ms: number,
  host: string,
  resolve: Resolve,
): Promise<readonly LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(
      new Failure("origin_name_timeout", {
        message: `"${host}" did not resolve within ${ms} ms`,
        facts: { host, timeoutMs: ms },
      }),
    );
  }, ms);
  try {
    return await Promise.race([resolve(host), late.promise]);
  } catch (error) {
    if (error instanceof Failure) throw error;
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
  }
}
