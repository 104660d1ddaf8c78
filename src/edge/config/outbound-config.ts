import type { HostOrigin, OriginPlace } from "../../contract/hosts.ts";
import { ACCESS_KEYS, KEYS_ONLY } from "../../ingress/protocol.ts";
import type { CapnpValue } from "./capnp.ts";

/** Services between a Worker's `fetch()` without a binding and the internet. */
export interface OutboundServices {
  /** Where the ingress answers with the keys of Access. Null: the Worker does not fetch them. */
  readonly accessKeys: string | null;
  /** The gateway's sockets before the origins of hosts that the Worker has routes at. */
  readonly origins: readonly { readonly host: string; readonly socket: string }[];
}

/**
 * The service that a Worker fetches through; by that name, `outbound`, where it is not `internet`.
 * It costs each `fetch()` without a binding a hop, so only Workers have it that need it:
 * - one that verifies assertions of Access. The platform's own ports are closed to Workers, so its
 *   keys, and nothing else there, are asked for at the ingress itself.
 * - one with a route at a host that an origin answers for: what it fetches there goes to the origin,
 *   and not to itself.
 */
export function outboundConfig({ accessKeys, origins }: OutboundServices): readonly CapnpValue[] {
  if (accessKeys === null && origins.length === 0) return [];
  const services: CapnpValue[] = origins.map(({ socket }, index) => ({
    name: `origin ${index}`,
    external: { address: `unix:${socket}`, http: {} },
  }));
  const bindings: CapnpValue[] = [
    { name: "INTERNET", service: "internet" },
    {
      name: "ORIGINS",
      json: JSON.stringify(Object.fromEntries(origins.map(({ host }, index) => [host, index]))),
    },
    ...origins.map((_, index) => ({ name: `ORIGIN_${index}`, service: `origin ${index}` })),
  ];
  if (accessKeys !== null) {
    services.push({ name: "access-keys", external: { address: accessKeys, http: {} } });
    bindings.push({ name: "KEYS", service: "access-keys" });
  }
  return [
    ...services,
    {
      name: OUTBOUND,
      worker: {
        modules: [{ name: OUTBOUND, esModule: CODE }],
        compatibilityDate: "2026-11-01",
        bindings,
        globalOutbound: "internet",
      },
    },
  ];
}

export const OUTBOUND = "outbound";

/** The socket of an origin in a generation's folder. */
export function originSocket(index: number): string {
  return `h${index}`;
}

/** A wildcard is for any host below it; the same connection may be asked for over HTTP. */
export function frontOf({ to }: HostOrigin, ownPort: number): OriginPlace {
  return { hosts: to.hosts, port: to.port ?? ownPort };
}

/** A host that is not one of ours has no keys there: it is asked itself. An origin has one port. */
const CODE = `function originOf({ hostname, port }, env) {
  if (port !== "") return undefined;
  const host = hostname.replace(/\\.$/, "");
  if (Object.hasOwn(env.ORIGINS, host)) return env["ORIGIN_" + env.ORIGINS[host]];
  for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
    const above = "*" + host.slice(dot);
    if (Object.hasOwn(env.ORIGINS, above)) return env["ORIGIN_" + env.ORIGINS[above]];
  }
  return undefined;
}
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    if (env.KEYS && request.method === "GET" && url.pathname === "${ACCESS_KEYS}") {
      const answer = await env.KEYS.fetch(request.url.replace(/^https:/, "http:"), { redirect: "manual", headers: { "${KEYS_ONLY}": "1" } });
      if (answer.status === 200) return answer;
    }
    return (originOf(url, env) ?? env.INTERNET).fetch(request);
  },
};`;
