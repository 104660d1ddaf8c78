import { hostsOverlap } from "./patterns.ts";

/** The facts about a Worker and its hosts that matter for a port of its own. */
export interface PortHolder {
  /** How many of its versions are deployed. */
  readonly versions: number;
  /** The Durable Objects that it keeps, in words. Null: none. */
  readonly objects: string | null;
  /** Patterns of its hosts and routes. */
  readonly reachedAt: readonly string[];
  /** Domains of the account's Access applications. */
  readonly accessDomains: readonly string[];
  /** Hosts of the account that ask for client certificates. */
  readonly askingHosts: readonly string[];
}

/**
 * Why a Worker cannot have a port of its own: it needs something that only the ingress does. Null:
 * it can.
 */
export function portRefusal(worker: PortHolder): string | null {
  if (worker.versions > 1) return "several versions of it would answer";
  if (worker.objects !== null) {
    return `${worker.objects} live in one process, which the ingress reaches`;
  }
  const covers = (pattern: string): boolean =>
    worker.reachedAt.some((one) => hostsOverlap(pattern, one));
  const domain = worker.accessDomains.find(covers);
  if (domain !== undefined) return `an Access application for ${domain} covers it`;
  const host = worker.askingHosts.find(covers);
  return host === undefined ? null : `${host} asks for client certificates`;
}
