import { isIP, isIPv4 } from "node:net";
import type { AddressOptions } from "../contract/gateway-options.ts";
import { loopback, refusedByDefault } from "./addresses.ts";
import { listOf } from "./ranges.ts";

/** Addresses as workerd's `network` takes them: the most specific entry decides, a tie denies. */
export interface WorkerdNetwork {
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

/**
 * What bindings in a Worker's own process may reach: the gateway's policy in workerd's words. They
 * know no ports and no detours for hosts; where the two differ, workerd is given less.
 * @param own addresses of the platform's ports, from `listeningAt`
 */
export function bindingNetwork(
  { allow = [], deny = [], development = false }: Partial<AddressOptions>,
  own: readonly string[],
): WorkerdNetwork {
  const opened = development ? [...allow, ...loopback] : allow;
  return inWorkerdsWords({
    words: ["public", "private"],
    ranges: allow,
    opened,
    closed: deny,
    own,
  });
}

/**
 * What `fetch()` and `connect()` without a binding may reach.
 * @param allow `public`, `private`, `local`, or CIDR blocks
 * @param own as above
 */
export function fetchNetwork(allow: readonly string[], own: readonly string[]): WorkerdNetwork {
  const words = allow.filter((one) => isIP(one.split("/")[0]!) === 0);
  const ranges = allow.filter((one) => !words.includes(one));
  const opened = words.includes("local") ? [...ranges, ...loopback] : ranges;
  return inWorkerdsWords({ words, ranges, opened, closed: [], own });
}

interface Wanted {
  readonly words: readonly string[];
  readonly ranges: readonly string[];
  /** What wins over the defaults: `ranges`, and what one of the words opens. */
  readonly opened: readonly string[];
  /** Ranges that win over `opened`, however narrow that is. */
  readonly closed: readonly string[];
  readonly own: readonly string[];
}

function inWorkerdsWords({ words, ranges, opened, closed, own }: Wanted): WorkerdNetwork {
  const refused = refusedByDefault.map(({ range }) => range);
  const named = new Set(ranges.map(block));
  return {
    allow: [...words, ...outside(ranges, [...closed, ...UNTOLD])],
    deny: [
      ...closed.map(block),
      ...outside(refused, opened),
      ...UNTOLD.filter((one) => isWithin(one, opened)),
      ...refused.flatMap((one) => translated(one, opened)),
      // An option that names the very address opens it.
      ...own.map(block).filter((one) => !named.has(one)),
    ],
  };
}

/** Forms of IPv4 in IPv6 that no ranges describe: bits before the address, and within it, are free. */
const UNTOLD = ["64:ff9b:1::/48", "2001::/32"];

/** Those that are not wholly within one of `others`. */
function outside(ranges: readonly string[], others: readonly string[]): readonly string[] {
  return ranges.map(block).filter((one) => !isWithin(one, others));
}

function isWithin(one: string, others: readonly string[]): boolean {
  const wider = others.map(block).filter((other) => prefixOf(other) <= prefixOf(one));
  const [address = ""] = one.split("/");
  return listOf(wider).check(address, isIPv4(address) ? "ipv4" : "ipv6");
}

/** A refused range of IPv4 as it is written in those ranges of IPv6 that were opened. */
function translated(range: string, opened: readonly string[]): readonly string[] {
  const [address = "", prefix] = block(range).split("/");
  if (!isIPv4(address) || isWithin(block(range), opened)) return [];
  const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number];
  const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  const forms = [
    ...["64:ff9b::", "::ffff:0:", "::"].map((form) => ({ text: form + hex, bits: 96 })),
    { text: `2002:${hex}::`, bits: 16 },
  ];
  return forms
    .map(({ text, bits }) => `${text}/${bits + Number(prefix)}`)
    .filter((one) => isWithin(one, opened));
}

/** An address is a block of one. */
function block(text: string): string {
  if (text.includes("/")) return text;
  return `${text}/${isIPv4(text) ? 32 : 128}`;
}

function prefixOf(text: string): number {
  return Number(text.split("/")[1]);
}
