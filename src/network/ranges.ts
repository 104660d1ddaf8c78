import { BlockList, isIP } from "node:net";

/** From where a token may be used, as Cloudflare writes it: CIDRs or single addresses. */
export interface RequestIp {
  /** Absent or empty: from anywhere that is not in `not_in`. */
  readonly in?: readonly string[] | undefined;
  readonly not_in?: readonly string[] | undefined;
}

/** Whether a text is an IP address or a CIDR. */
export function isCidr(text: string): boolean {
  return parse(text) !== null;
}

/** @param address null: not known, which only a token that may be used from anywhere allows */
export function allowsAddress(requestIp: RequestIp, address: string | null): boolean {
  const { in: allowed = [], not_in: denied = [] } = requestIp;
  if (allowed.length === 0 && denied.length === 0) return true;
  if (address === null) return false;
  if (contains(denied, address)) return false;
  return allowed.length === 0 || contains(allowed, address);
}

/** Whether every address that `narrow` allows, `wide` allows as well. When in doubt it does not. */
export function within(narrow: RequestIp, wide: RequestIp): boolean {
  const { in: allowed = [], not_in: denied = [] } = narrow;
  const { in: wideAllowed = [], not_in: wideDenied = [] } = wide;
  if (wideAllowed.length > 0) {
    if (allowed.length === 0) return false;
    if (!allowed.every((cidr) => inside(cidr, wideAllowed))) return false;
  }
  return wideDenied.every((cidr) => {
    if (inside(cidr, denied)) return true;
    // Nothing of it is allowed in the first place.
    return allowed.length > 0 && !allowed.some((a) => covers(a, cidr) || covers(cidr, a));
  });
}

function inside(cidr: string, cidrs: readonly string[]): boolean {
  return cidrs.some((other) => covers(other, cidr));
}

function covers(wide: string, narrow: string): boolean {
  const [a, b] = [parse(wide), parse(narrow)];
  if (!a || !b || a.family !== b.family || a.prefix > b.prefix) return false;
  return new Ranges([wide]).has(b.address);
}

/** An IPv4 address that came over an IPv6 socket, as the IPv4 address it is. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "");
}

/**
 * The key by which tries are counted. A client that has one IPv6 address usually has the whole /64.
 */
export function neighbourhood(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("%")[0]?.split("::") ?? [];
  const left = head === "" ? [] : head.split(":");
  const right = tail ? tail.split(":") : [];
  const zeros =
    tail === undefined ? [] : Array(Math.max(0, 8 - left.length - right.length)).fill("0");
  return [...left, ...zeros, ...right].slice(0, 4).join(":") + "::/64";
}

/** @throws TypeError for what is neither an address nor a CIDR range */
export function listOf(ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const parsed = parse(range);
    if (parsed === null) throw new TypeError(`"${range}" is not an address or a CIDR range`);
    list.addSubnet(parsed.address, parsed.prefix, parsed.family);
  }
  return list;
}

/** Ranges that are asked often. What is no CIDR in the list is left out. */
export class Ranges {
  readonly #list = new BlockList();
  #isEmpty = true;

  constructor(cidrs: readonly string[]) {
    for (const cidr of cidrs) {
      const parsed = parse(cidr);
      if (parsed === null) continue;
      this.#list.addSubnet(parsed.address, parsed.prefix, parsed.family);
      this.#isEmpty = false;
    }
  }

  /** What is no IP address is in none. */
  has(address: string): boolean {
    // The ingress asks at each request, and most have no proxy in front.
    if (this.#isEmpty) return false;
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}

function contains(cidrs: readonly string[], address: string): boolean {
  return new Ranges(cidrs).has(address);
}

function parse(cidr: string): { address: string; prefix: number; family: "ipv4" | "ipv6" } | null {
  const [address = "", prefixText, ...rest] = cidr.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return null;
  const longest = family === 6 ? 128 : 32;
  const prefix = prefixText === undefined ? longest : Number(prefixText);
  const whole = prefixText === undefined || /^\d{1,3}$/.test(prefixText);
  if (!whole || prefix > longest) return null;
  return { address, prefix, family: family === 6 ? "ipv6" : "ipv4" };
}
