import { lookup, type LookupAddress } from "node:dns";
import { connect, isIP, type Socket } from "node:net";
import { Failure } from "../failures.ts";
import type { AddressPolicy } from "./addresses.ts";
import { dialFailure } from "./classify.ts";
import type { GatewayTimeouts } from "./options.ts";

export interface Destination {
  /** Lower case; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface Network {
  readonly policy: AddressPolicy;
  readonly timeouts: GatewayTimeouts;
  /** Default: the system's resolver. */
  readonly resolve?: (host: string) => Promise<readonly LookupAddress[]>;
}

/**
 * A TCP connection to an address that the policy allows. The name is resolved once, and what was
 * judged is what is connected to.
 * @throws Failure `origin_name_…`, `origin_address_refused`, `origin_refused`,
 * `origin_unreachable`, `origin_connect_timeout`
 */
export async function dial(destination: Destination, network: Network): Promise<Socket> {
  const { host, port } = network.policy.detour(destination.host) ?? destination;
  const addresses = allowed({ host, port }, await resolve(host, network), network.policy);
  return new Promise((fulfil, reject) => {
    const socket = connect({
      host,
      port,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 500,
      lookup: (_host, options, callback) => {
        if (options.all) callback(null, [...addresses]);
        else callback(null, addresses[0]!.address, addresses[0]!.family);
      },
    });
    const timer = setTimeout(() => {
      const ms = network.timeouts.connect;
      socket.destroy(
        new Failure("origin_connect_timeout", {
          message: `${host}:${port} (${list(addresses)}) did not accept a connection within ${ms} ms`,
          facts: { host, port, addresses: addresses.map(({ address }) => address), timeoutMs: ms },
        }),
      );
    }, network.timeouts.connect);
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(dialFailure(error, { host, port }, list(addresses)));
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      fulfil(socket);
    });
  });
}

async function resolve(host: string, network: Network): Promise<readonly LookupAddress[]> {
  const family = isIP(host);
  if (family !== 0) return [{ address: host, family }];
  const ms = network.timeouts.dns;
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(
      new Failure("origin_name_timeout", {
        message: `"${host}" did not resolve within ${ms} ms`,
        facts: { host, timeoutMs: ms },
      }),
    );
  }, ms);
  try {
    return await Promise.race([(network.resolve ?? systemResolve)(host), promise]);
  } catch (error) {
    if (error instanceof Failure) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw new Failure("origin_name_not_found", {
      message: `"${host}" does not resolve (${code})`,
      facts: { host, resolver: code },
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}

function systemResolve(host: string): Promise<readonly LookupAddress[]> {
  return new Promise((fulfil, reject) => {
    lookup(host, { all: true }, (error, addresses) => {
      if (error) reject(error);
      else fulfil(addresses);
    });
  });
}

function allowed(
  { host, port }: Destination,
  addresses: readonly LookupAddress[],
  policy: AddressPolicy,
): readonly LookupAddress[] {
  const kept = addresses.filter(({ address }) => policy.refuses(address, port) === null);
  if (kept.length > 0) return kept;
  const { address = "none" } = addresses[0] ?? {};
  const why = policy.refuses(address, port) ?? "there is none";
  throw new Failure("origin_address_refused", {
    message: `"${host}" means ${list(addresses)}, and bindings do not connect there: ${why}`,
    facts: { host, port, addresses: addresses.map((one) => one.address), why },
  });
}

function list(addresses: readonly LookupAddress[]): string {
  return addresses.map(({ address }) => address).join(", ");
}
