import { BlockList, isIP, isIPv4 } from "node:net";
import type { AddressOptions } from "../contract/gateway-options.ts";
import { embeddedAddresses } from "./embedded.ts";
import { listOf } from "./ranges.ts";
import { isOwn } from "./own-addresses.ts";
import { unbracketed } from "./unbracketed.ts";

/**
 * Addresses that Countersign does not connect to unless an option allows them. They count for
 * bindings, in-process bindings, `fetch()` and `connect()` without a binding, and webhooks.
 */
export const refusedByDefault: readonly { readonly range: string; readonly what: string }[] = [
  { range: "127.0.0.0/8", what: "loopback" },
  { range: "::1", what: "loopback" },
  { range: "0.0.0.0/8", what: "unspecified, which means this machine" },
  { range: "169.254.0.0/16", what: "link-local, where clouds have their metadata services" },
  { range: "100.100.100.200", what: "Alibaba Cloud's metadata service" },
  { range: "168.63.129.16", what: "Azure's WireServer" },
  { range: "192.0.0.0/24", what: "reserved, with Oracle Cloud's metadata service" },
  { range: "224.0.0.0/4", what: "multicast" },
  { range: "240.0.0.0/4", what: "reserved, or broadcast" },
  { range: "fe80::/10", what: "link-local" },
  { range: "fec0::/10", what: "site-local" },
  { range: "ff00::/8", what: "multicast" },
  { range: "100::/64", what: "discarded by routers" },
  { range: "fd00:ec2::/32", what: "AWS's metadata service" },
  { range: "fd20:ce::254", what: "Google Cloud's metadata service" },
  { range: "fd00:c1::a9fe:a9fe", what: "Oracle Cloud's metadata service" },
  { range: "fd00:42::42", what: "Scaleway's metadata service" },
  { range: "fd00:a9fe:a9fe::1", what: "Akamai's metadata service" },
  // A NAT64 gateway on the network would translate these back to IPv4.
  { range: "::/96", what: "an IPv4 address in IPv6 (IPv4-compatible), or unspecified" },
  { range: "::ffff:0:0:0/96", what: "an IPv4 address in IPv6 (SIIT)" },
  { range: "64:ff9b::/96", what: "an IPv4 address in IPv6 (NAT64)" },
  { range: "64:ff9b:1::/48", what: "an IPv4 address in IPv6 (NAT64)" },
  { range: "2002::/16", what: "an IPv4 address in IPv6 (6to4)" },
  { range: "2001::/32", what: "an IPv4 address in IPv6 (Teredo)" },
];

/** The rows that `development` opens. `::ffff:127.0.0.1` is one of them: BlockList knows. */
export const loopback: readonly string[] = ["127.0.0.0/8", "::1"];

/**
 * Judges the address that is connected to, never the name: a name may mean another address a
 * moment later.
 */
export class AddressPolicy {
  readonly #allowed: BlockList;
  readonly #denied: BlockList;
  readonly #development: boolean;
  readonly #denyLocalPorts: ReadonlySet<number>;
  readonly #hosts: ReadonlyMap<string, string>;

  /** @throws TypeError for what is not a range */
  constructor(options: AddressOptions) {
    this.#allowed = listOf(options.allow);
    this.#denied = listOf(options.deny);
    this.#development = options.development;
    this.#denyLocalPorts = new Set(options.denyLocalPorts);
    this.#hosts = new Map(Object.entries(options.hosts ?? {}));
  }

  /** Where a connection for `host` really goes, if it goes elsewhere. */
  detour(host: string): { readonly host: string; readonly port: number } | null {
    const target = this.#hosts.get(host);
    if (target === undefined) return null;
    const { hostname, port } = new URL(`https://${target}`);
    return { host: unbracketed(hostname), port: Number(port || 443) };
  }

  /** Null: allowed. Else why not, as the end of a sentence. */
  refuses(zoned: string, port: number): string | null {
    const [address = ""] = zoned.split("%");
    if (isIP(address) === 0) return "it is not an address";
    if (this.#denyLocalPorts.has(port) && [address, ...embeddedAddresses(address)].some(isOwn)) {
      return `port ${port} of this machine is the platform's own`;
    }
    return this.#refusesAddress(address);
  }

  /** Allowed by name: by `allow`, or in development as loopback. */
  isNamed(zoned: string): boolean {
    const [address = ""] = zoned.split("%");
    if (isIP(address) === 0 || this.#refusesAddress(address) !== null) return false;
    return contains(this.#allowed, address) || contains(loopbackList, address);
  }

  #refusesAddress(address: string): string | null {
    if (contains(this.#denied, address)) return "it is on the deny list";
    if (contains(this.#allowed, address)) {
      // `64:ff9b::/96` opens the way to IPv4, not to what IPv4 has that is refused.
      for (const inside of embeddedAddresses(address)) {
        const why = this.#refusesAddress(inside);
        if (why !== null) return `of ${inside} in it: ${why}`;
      }
      return null;
    }
    if (this.#development && contains(loopbackList, address)) return null;
    return refusalByDefault(address);
  }
}

/** As `refuses`, where no option says otherwise. */
export function refusalByDefault(address: string): string | null {
  const row = rows.find(({ list }) => contains(list, address));
  return row === undefined ? null : `it is ${row.what}`;
}

const loopbackList = listOf(loopback);
const rows = refusedByDefault.map(({ range, what }) => ({ what, list: listOf([range]) }));

function contains(list: BlockList, address: string): boolean {
  return list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}
