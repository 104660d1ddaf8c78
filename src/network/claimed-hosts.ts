import { type HostRule, parseRoute } from "./patterns.ts";

/** Hosts, wildcards and routes of which one may be the other's: many are compared with many. */
export class ClaimedHosts {
  /** What the claims end with, and of those that stand for many hosts. */
  readonly #ends: ReadonlySet<string>;
  readonly #anyEnds: ReadonlySet<string>;

  constructor(patterns: Iterable<string>) {
    const rules = new Set(patterns).values().map((pattern) => parseRoute(pattern).host);
    const all: readonly HostRule[] = [...rules];
    this.#ends = new Set(all.map(({ end }) => end));
    this.#anyEnds = new Set(all.filter(({ any }) => any).map(({ end }) => end));
  }

  /** Whether there is a host that both the pattern and one of the claims are for, as `hostsOverlap` says. */
  overlap(pattern: string): boolean {
    const { end, any } = parseRoute(pattern).host;
    if (this.#ends.has(end)) return true;
    for (let at = 0; at <= end.length; at += 1) if (this.#anyEnds.has(end.slice(at))) return true;
    return any && this.#ends.values().some((claimed) => claimed.endsWith(end));
  }
}
