import type { Destination } from "./destination.ts";
import type { LookupAddress } from "node:dns";
import { connect, type Socket } from "node:net";
import { Failure } from "../../failures/failures.ts";
import type { AddressPolicy } from "../../network/addresses.ts";
import { asError } from "../../forward/guarded.ts";
import { dialFailure } from "./classify.ts";
import type { GatewayTimeouts } from "../../contract/gateway-options.ts";
import type { OriginPlace } from "../../contract/hosts.ts";
import { resolveWithin } from "./resolve.ts";
import type { Resolve } from "../../network/lookups.ts";
import type { TlsFloods } from "../../network/tls-floods.ts";

/** @throws Failure `origin_handshake_timeout`, the reason of the signal, or what `shake` throws */
export type Turn = <T>(
  destination: Destination,
  shake: () => Promise<T>,
  signal?: AbortSignal,
) => Promise<T>;

/** Derives a key from a password when it is its owner's turn. */
export type Derive = <T>(work: () => Promise<T>) => Promise<T>;

export interface Network {
  readonly policy: AddressPolicy;
  readonly timeouts: GatewayTimeouts;
  readonly resolve: Resolve;
  /** Watches connections whose handshake is over. */
  readonly floods?: TlsFloods;
  /** Makes a handshake when it is its owner's turn. Default: at once. */
  readonly turn?: Turn;
  /** Default: at once. */
  readonly derive?: Derive;
  /** Aborts when the connection is no longer needed. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A TCP connection to an address that the policy allows. The name is resolved once, and what was
 * judged is what is connected to.
 * @throws Failure `origin_name_…`, `origin_address_refused`, `origin_refused`,
 * `origin_unreachable`, `origin_connect_timeout`, or the reason of the signal
 * @param allowHalfOpen the other side may end before this one does
 */
export async function dial(
  destination: Destination,
  network: Network,
  allowHalfOpen = false,
): Promise<Socket> {
  const { hosts, port } = placeOf(destination, network.policy);
  const host = hosts.join(", ");
  const { signal } = network;
  const found = await addressesOf(hosts, network);
  const addresses = allowed({ host, port }, found, network.policy);
  return new Promise((fulfil, reject) => {
    const socket = connect({
      // No address: Node would connect to that, and not ask what it means.
      host: "origin",
      port,
      noDelay: true,
      allowHalfOpen,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: 500,
      lookup: (_host, _options, callback) => callback(null, [...addresses]),
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
    const callOff = destroyedBy(signal, socket);
    const settled = (): void => {
      clearTimeout(timer);
      callOff();
    };
    const failed = (error: Error): void => {
      settled();
      reject(
        error === signal?.reason ? error : dialFailure(error, { host, port }, list(addresses)),
      );
    };
    socket.on("error", failed);
    // It may close without an error. Then no caller waits for ever.
    const closed = (): void => failed(closedEarly());
    socket.once("close", closed);
    socket.once("connect", () => {
      settled();
      socket.off("close", closed).off("error", failed);
      // Until who gets it listens.
      socket.on("error", () => {});
      fulfil(socket);
    });
  });
}

function placeOf({ host, port, at = [host] }: Destination, policy: AddressPolicy): OriginPlace {
  const detour = policy.detour(at[0]!);
  return detour === null ? { hosts: at, port } : { hosts: [detour.host], port: detour.port };
}

/** Of several hosts another comes first each time: they share the connections. */
async function addressesOf(
  hosts: readonly string[],
  { timeouts, resolve, signal }: Network,
): Promise<readonly LookupAddress[]> {
  const first = Math.floor(Math.random() * hosts.length);
  const ordered = [...hosts.slice(first), ...hosts.slice(0, first)];
  const found = ordered.map((host) => resolveWithin(timeouts.dns, host, resolve, signal));
  return (await Promise.all(found)).flat();
}

export const atOnce: Turn = (_, shake) => shake();

export const derivedAtOnce: Derive = (work) => work();

/** Destroys `socket` with the signal's reason, until the function that is returned is called. */
export function destroyedBy(
  signal: AbortSignal | undefined,
  socket: Pick<Socket, "destroy">,
): () => void {
  if (signal === undefined) return () => {};
  const destroy = (): void => void socket.destroy(asError(signal.reason));
  if (signal.aborted) destroy();
  else signal.addEventListener("abort", destroy, { once: true });
  return () => signal.removeEventListener("abort", destroy);
}

/** A socket that closed without saying why. */
export function closedEarly(): Error {
  return Object.assign(new Error("the connection closed"), { code: "ECONNRESET" });
}

function allowed(
  { host, port }: Destination,
  addresses: readonly LookupAddress[],
  policy: AddressPolicy,
): readonly LookupAddress[] {
  const kept = addresses.filter(({ address }) => policy.refuses(address, port) === null);
  if (kept.length > 0) return kept;
  const [first] = addresses;
  if (first === undefined) {
    const message = `"${host}" has no address`;
    throw new Failure("origin_address_refused", { message, facts: { host, port } });
  }
  const why = policy.refuses(first.address, port);
  throw new Failure("origin_address_refused", {
    message: `"${host}" means ${list(addresses)}, and bindings do not connect there: ${why}`,
    facts: { host, port, addresses: addresses.map((one) => one.address), why },
  });
}

function list(addresses: readonly LookupAddress[]): string {
  return addresses.map(({ address }) => address).join(", ");
}
