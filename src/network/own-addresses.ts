import { BlockList, isIP, isIPv4 } from "node:net";
import { networkInterfaces } from "node:os";
import { listOf } from "./ranges.ts";
import { unbracketed } from "./unbracketed.ts";

/** Is this an address of this machine, as it is now? `::ffff:10.0.0.5` is 10.0.0.5. */
export function isOwn(address: string): boolean {
  return [always, interfaces()].some((list) =>
    list.check(address, isIPv4(address) ? "ipv4" : "ipv6"),
  );
}

/**
 * The addresses, beside loopback, at which the platform's own ports can be reached if it listens on
 * `hosts`.
 */
export function listeningAt(hosts: readonly string[]): readonly string[] {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const all = own.map(({ address }) => address);
  const at = hosts.flatMap((host) => {
    const bare = unbracketed(host);
    if (bare === "localhost") return [];
    const isOne = isIP(bare) !== 0 && !/^(0\.0\.0\.0|[0:]+)$/.test(bare);
    return isOne ? [bare] : all;
  });
  return [...new Set(at)].filter(
    (address) => !always.check(address, isIPv4(address) ? "ipv4" : "ipv6"),
  );
}

/** Loopback, and what a connection to the unspecified address reaches. */
const always = listOf(["127.0.0.0/8", "::1", "0.0.0.0", "::"]);

function interfaces(): BlockList {
  const list = new BlockList();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      list.addAddress(address, isIPv4(address) ? "ipv4" : "ipv6");
    }
  }
  return list;
}
