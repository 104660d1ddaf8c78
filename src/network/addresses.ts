import { BlockList, isIP, isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import type { AddressOptions } from "../contract/gateway-options.ts";

/**
 * Judges the address that is connected to, never the name: a name may mean another address a
 * moment later.
 */
export class AddressPolicy {
  readonly #allowed: BlockList;
  readonly #denied: BlockList;
  readonly #refused: BlockList = listOf(refusedByDefault);
  readonly #development: boolean;
  readonly #denyLocalPorts: ReadonlySet<number>;
  readonly #hosts: Readonly<Record<string, string>>;

  constructor(options: AddressOptions) {
    this.#allowed = listOf(options.allow);
    this.#denied = listOf(options.deny);
    this.#development = options.development;
    this.#denyLocalPorts = new Set(options.denyLocalPorts);
    this.#hosts = options.hosts ?? {};
  }

  /** Where a connection for `host` really goes, if it goes elsewhere. */
  detour(host: string): { readonly host: string; readonly port: number } | null {
    const target = this.#hosts[host];
    if (target === undefined) return null;
    const { hostname, port } = new URL(`https://${target}`);
    return { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 443) };
  }

  /** Null: allowed. Else why not, as the end of a sentence. */
  refuses(zoned: string, port: number): string | null {
    const [address = ""] = zoned.split("%");
    const family = isIPv4(address) ? "ipv4" : "ipv6";
    if (this.#denied.check(address, family)) return "it is on the deny list";
    if (this.#denyLocalPorts.has(port) && isLocal(address, family)) {
      return `port ${port} of this machine is the platform's own`;
    }
    if (this.#allowed.check(address, family)) return null;
    if (loopback.check(address, family)) return this.#development ? null : "it is loopback";
    if (this.#refused.check(address, family)) {
      return "it is unspecified, link-local, multicast, or a cloud's metadata service";
    }
    return null;
  }
}

/** Anything that ends up at loopback, IPv4 in IPv6 included (BlockList maps `::ffff:0:0/96` itself). */
const loopback = listOf(["127.0.0.0/8", "::1"]);

/** Beside loopback. */
export const refusedByDefault: readonly string[] = [
  "0.0.0.0/8",
  "169.254.0.0/16",
  "224.0.0.0/4",
  "255.255.255.255",
  // Metadata services outside of link-local: AWS over IPv6, Alibaba, Oracle.
  "fd00:ec2::/32",
  "100.100.100.200",
  "192.0.0.192",
  "::",
  "fe80::/10",
  "fec0::/10",
  "ff00::/8",
  // Ways to write an IPv4 address in IPv6 that a gateway on the network would translate back.
  "::/96",
  "64:ff9b::/96",
  "64:ff9b:1::/48",
  "2002::/16",
];

/** @throws TypeError for what is neither an address nor a CIDR range */
export function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [address = "", prefix] = range.split("/");
    const version = isIP(address);
    if (version === 0) throw new TypeError(`"${range}" is not an address or a CIDR range`);
    const family = version === 4 ? "ipv4" : "ipv6";
    if (prefix === undefined) list.addAddress(address, family);
    else if (/^\d{1,3}$/.test(prefix)) list.addSubnet(address, Number(prefix), family);
    else throw new TypeError(`"${range}" is not an address or a CIDR range`);
  }
  return list;
}

function isLocal(address: string, family: "ipv4" | "ipv6"): boolean {
  if (loopback.check(address, family)) return true;
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some((own) => own.address === address),
  );
}
