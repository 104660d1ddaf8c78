import { isIPv6 } from "node:net";
import { listOf } from "./ranges.ts";

/**
 * The IPv4 addresses that a network may make of an IPv6 address. Several, where it depends on how
 * the network is set up (RFC 6052 puts them at one of four places).
 */
export function embeddedAddresses(address: string): readonly string[] {
  if (!isIPv6(address)) return [];
  if (itself.check(address, "ipv6")) return [];
  const form = forms.find(({ list }) => list.check(address, "ipv6"));
  if (form === undefined) return [];
  const bytes = bytesOf(address);
  return form.places.map((place) => place.map((at) => bytes[at]! ^ form.mask).join("."));
}

/** `::/96` has these two, which embed nothing. */
const itself = listOf(["::", "::1"]);

const LAST = [12, 13, 14, 15];

/** Where in the sixteen bytes the four are. Teredo has the client's inverted. */
const forms = [
  { range: "::/96", places: [LAST], mask: 0 },
  { range: "::ffff:0:0/96", places: [LAST], mask: 0 },
  { range: "::ffff:0:0:0/96", places: [LAST], mask: 0 },
  { range: "64:ff9b::/96", places: [LAST], mask: 0 },
  {
    range: "64:ff9b:1::/48",
    places: [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], LAST],
    mask: 0,
  },
  { range: "2002::/16", places: [[2, 3, 4, 5]], mask: 0 },
  { range: "2001::/32", places: [LAST], mask: 0xff },
].map((form) => ({ ...form, list: listOf([form.range]) }));

function bytesOf(address: string): readonly number[] {
  // Written by the URL standard: hexadecimal groups, `::` once at most.
  const [head = "", tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const [left, right] = [head, tail ?? ""].map((part) => (part === "" ? [] : part.split(":")));
  const zeros = Array<string>(8 - left!.length - right!.length).fill("0");
  return [...left!, ...zeros, ...right!].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
