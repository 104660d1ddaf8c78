import { AddressPolicy } from "../network/addresses.ts";
import type { Network } from "./origin/dial.ts";
import type { GatewayBinding } from "../contract/gateway.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";
import { type LookupOwner, Lookups, type Resolve } from "../network/lookups.ts";
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

/** What each binding may reach, and how it looks names up there. */
export class Networks {
  readonly #options: NetworksOptions;
  readonly #lookups: Lookups;
  readonly #resolve: Map<string, Resolve> = new Map();
  readonly #floods = new TlsFloods();
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
      resolve: this.#resolveFor({ account: accountId, worker: scriptName, binding: bindingName }),
    };
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
