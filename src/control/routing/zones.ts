import { createHash } from "node:crypto";
import { Failure } from "../../failures/failures.ts";
import { hostsOverlap } from "../../network/patterns.ts";

/**
 * Countersign serves no DNS: its operator decides where names lead. Each domain name is a zone of its account, with an
 * id derived from the name, because Cloudflare's clients ask for one.
 */
export interface Zone {
  readonly id: string;
  readonly name: string;
}

const LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
const HOST = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})+$`);

export function isHost(name: string): boolean {
  return HOST.test(name);
}

export function zoneNamed(accountId: string, name: string): Zone {
  const id = createHash("sha256").update(`zone\0${accountId}\0${name}`).digest("hex").slice(0, 32);
  return { id, name };
}

/** Every zone that a host could be in, the host itself first. */
export function zonesOf(accountId: string, host: string): Zone[] {
  const labels = host.split(".");
  return labels
    .slice(0, Math.max(1, labels.length - 1))
    .map((_, index) => zoneNamed(accountId, labels.slice(index).join(".")));
}

/** The zone that is shown for a host: its last two labels. */
export function zoneOf(accountId: string, host: string): Zone {
  return zoneNamed(accountId, host.split(".").slice(-2).join("."));
}

/** The host of a route's pattern, without a leading `*` or `*.`. */
export function hostOf(pattern: string): string {
  return (pattern.split("/")[0] ?? "").replace(/^\*\.?/, "");
}

/** The hosts that scripts have by their name. No other script can take them over with a route. */
const OWN_HOSTS = ["*.workers.dev", "*.localhost"];

export function isOwnHost(pattern: string): boolean {
  return OWN_HOSTS.some((hosts) => hostsOverlap(hosts, pattern));
}

/** @throws Failure `route_invalid` */
export function refuseOwnHosts(pattern: string): void {
  if (!isOwnHost(pattern)) return;
  throw new Failure("route_invalid", {
    message: `"${pattern}" leads to hosts that Workers have by themselves`,
    fix: "Use a domain of your own; `workers_dev` turns a Worker's own hosts on and off.",
  });
}

/**
 * A route's pattern as it is stored: lower-case host, no scheme.
 *
 * @throws Failure `route_invalid`
 */
export function routePattern(text: string): string {
  const bare = text.replace(/^https?:\/\//i, "");
  const [host = "", ...rest] = bare.split("/");
  const path = rest.length > 0 ? `/${rest.join("/")}` : "";
  const name = host.toLowerCase();
  const fits = isHost(name.replace(/^\*\.?/, "")) && /^(\/[!-)+-~]*\*?)?$/.test(path);
  if (fits && !path.includes("?") && text.length <= 2048) {
    refuseOwnHosts(name);
    return name + path;
  }
  throw new Failure("route_invalid", {
    message: `"${text.slice(0, 200)}" cannot be the pattern of a route`,
  });
}
