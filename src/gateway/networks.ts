import { Failure } from "../failures/failures.ts";
import { AddressPolicy } from "../network/addresses.ts";
import type { Network } from "./origin/dial.ts";
import type { GatewayBinding } from "../contract/gateway.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";
import { type LookupOwner, Lookups, type Resolve } from "../network/lookups.ts";
import { FairShares, TooManyWait } from "../network/fair-shares.ts";
import { Pace } from "../network/pace.ts";
import { TlsFloods } from "../network/tls-floods.ts";
import { sharedFor, systemResolve } from "./origin/resolve.ts";

/** For whom a name is looked up. */
type Owner = Pick<GatewayBinding, "accountId" | "scriptName" | "bindingName">;

type NetworksOptions = Pick<
  GatewayOptions,
  "addresses" | "timeouts" | "bindingLookups" | "accountLookups"
>;

/**
 * The process has 128 threads (see `environment.ts`), and look-ups get half of them at most: some of
 * these stay free, whatever names are slow.
 */
const MOST_LOOKUPS = 60;

/**
 * Handshakes at once, of an account, a Worker, and a binding with one server. All that are under way may
 * need the processor in the same moment, about a millisecond each, and nobody else is served meanwhile.
 * A Worker alone gets 64: no more than half of what is left.
 */
const HANDSHAKES = [192, 96, 32];

/**
 * Keys that are derived at once: of all, an account, a Worker. A server says how long that takes, up to 100,000
 * rounds of SHA-256 (30 ms of a core), and each runs in a thread that takes a core from the rest.
 */
const DERIVATIONS = [2, 1, 1] as const;

/** Handshakes that begin in one turn of the event loop: those with servers nearby end in one of the next. */
const BEGUN = 4;

/** What each binding may reach, and how it looks names up there. */
export class Networks {
  readonly #options: NetworksOptions;
  readonly #lookups: Lookups;
  readonly #resolve: Map<string, Resolve> = new Map();
  readonly #floods = new TlsFloods();
  readonly #pace = new Pace(BEGUN);
  readonly #handshakes = new FairShares(Infinity, HANDSHAKES);
  readonly #derivations = new FairShares(DERIVATIONS[0], DERIVATIONS.slice(1));
  readonly #ownPorts: number[] = [];
  #addresses: AddressOptions;
  #policy: AddressPolicy;

  constructor(options: NetworksOptions) {
    this.#options = options;
    this.#lookups = new Lookups(systemResolve, {
      binding: options.bindingLookups,
      worker: Math.ceil(options.accountLookups / 2),
      account: options.accountLookups,
      all: MOST_LOOKUPS,
    });
    this.#addresses = options.addresses;
    this.#policy = new AddressPolicy(options.addresses);
  }

  /** In force for new connections. @throws TypeError for what is not a range */
  setAddresses(addresses: AddressOptions): void {
    const denyLocalPorts = [...addresses.denyLocalPorts, ...this.#ownPorts];
    this.#policy = new AddressPolicy({ ...addresses, denyLocalPorts });
    this.#addresses = addresses;
  }

  /** A port of this process, which no binding reaches. */
  reservePort(port: number): void {
    this.#ownPorts.push(port);
    this.setAddresses(this.#addresses);
  }

  of({ accountId, scriptName, bindingName }: Owner): Network {
    return {
      policy: this.#policy,
      timeouts: this.#options.timeouts,
      floods: this.#floods,
      turn: (destination, shake, signal) => {
        const server = `${destination.host}:${destination.port}`;
        const owner = [accountId, scriptName, `${bindingName} ${server}`];
        return this.#turn({ owner, server }, shake, signal);
      },
      derive: (work) => this.#derivations.within([accountId, scriptName], work),
      resolve: this.#resolveFor({ account: accountId, worker: scriptName, binding: bindingName }),
    };
  }

  /** One that is slow holds up what the Worker has to do with other servers less. */
  async #turn<T>(
    { owner, server }: { readonly owner: readonly string[]; readonly server: string },
    shake: () => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const timeoutMs = this.#options.timeouts.handshake;
    try {
      const inTurn = async (): Promise<T> => {
        await this.#pace.turn();
        return await shake();
      };
      return await this.#handshakes.within(owner, inTurn, { signal, patience: timeoutMs });
    } catch (error) {
      if (!(error instanceof TooManyWait)) throw error;
      throw new Failure("origin_handshake_timeout", {
        message: `${server} was to be connected to so often at once that the TLS handshake did not begin within ${timeoutMs} ms`,
        facts: { server, timeoutMs },
      });
    }
  }

  #resolveFor(owner: Required<LookupOwner>): Resolve {
    const key = `${owner.account} ${owner.worker} ${owner.binding}`;
    let resolve = this.#resolve.get(key);
    if (resolve === undefined) {
      resolve = sharedFor(1_000, this.#lookups.of(owner));
      // All that goes with one is that its next two connections share no look-up.
      if (this.#resolve.size >= MOST_KEPT) this.#resolve.delete(this.#resolve.keys().next().value!);
      this.#resolve.set(key, resolve);
    }
    return resolve;
  }

  /** How many bindings it keeps something of. */
  get size(): number {
    return this.#resolve.size;
  }
}

/** Bindings come and go with deploys, and nobody tells when one was the last of its name. */
const MOST_KEPT = 10_000;
