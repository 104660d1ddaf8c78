import { isIPv4 } from "node:net";
import { listOf, refusedByDefault } from "../network/addresses.ts";
import type { AddressOptions } from "../contract/gateway-options.ts";

/** Addresses as workerd's `network` takes them: the most specific entry decides, a tie denies. */
export interface NetworkPolicy {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/**
 * The gateway's address policy in workerd's words. They know no ports and no detours for hosts;
 * where the two differ, workerd is given less.
 */
export function networkPolicy(options: Partial<AddressOptions>): NetworkPolicy {
  const { allow = [], deny = [], development = false } = options;
  const refused = [...refusedByDefault, ...(development ? [] : ["127.0.0.0/8", "::1"])];
  return {
    // In the gateway, `deny` wins over a narrower `allow` within it.
    allow: ["public", "private", ...outside(allow, deny)],
    deny: [...deny.map(range), ...outside(refused, allow)],
  };
}

/** Those that are not wholly within one of `others`. */
function outside(ranges: readonly string[], others: readonly string[]): readonly string[] {
  return ranges.map(range).filter((one) => {
    const wider = others.map(range).filter((other) => prefixOf(other) <= prefixOf(one));
    const [address = ""] = one.split("/");
    return !listOf(wider).check(address, isIPv4(address) ? "ipv4" : "ipv6");
  });
}

/** An address is a range of one. */
function range(text: string): string {
  if (text.includes("/")) return text;
  return `${text}/${isIPv4(text) ? 32 : 128}`;
}

function prefixOf(text: string): number {
  return Number(text.split("/")[1]);
}
