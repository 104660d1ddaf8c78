import type { ScriptKey } from "../contract/change-feed.ts";
import { hostsOverlap } from "../network/patterns.ts";
import type { Generation } from "./generation/generation.ts";
import { generationsOf, type LiveScript } from "./live.ts";

/** The account's scripts of which a generation is meant. */
export function scriptsWith(
  scripts: readonly LiveScript[],
  accountId: string,
  isMeant: (one: Generation) => boolean,
): ScriptKey[] {
  return scripts
    .filter((live) => live.key.accountId === accountId && generationsOf(live).some(isMeant))
    .map(({ key }) => key);
}

/** The account's scripts with a route at one of `hosts`, and those which had origins behind them. */
export function beforeOrigins(
  scripts: readonly LiveScript[],
  accountId: string,
  hosts: readonly string[],
): ScriptKey[] {
  return scripts
    .filter((live) => {
      if (live.key.accountId !== accountId) return false;
      if (generationsOf(live).some(({ version }) => version.origins.length > 0)) return true;
      return live.routes.some((route) => hosts.some((host) => hostsOverlap(route, host)));
    })
    .map(({ key }) => key);
}

/** Is the certificate shown to an origin behind one of them? */
export function showsToOrigins(
  generations: readonly Generation[],
  accountId: string,
  certificateId: string,
): boolean {
  return generations.some(
    ({ version }) =>
      version.accountId === accountId &&
      version.origins.some((one) => one.certificateId === certificateId),
  );
}
