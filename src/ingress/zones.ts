import type { ServerResponse } from "node:http";
import type { TlsVersions, ZoneRules } from "../contract/hosts.ts";

/** What zones say of their hosts. Of several that a host is in, the nearest counts. */
export class Zones {
  readonly #accounts = new Map<string, readonly ZoneRules[]>();
  #zones: ReadonlyMap<string, ZoneRules> = new Map();
  #narrows = false;

  /** Replaces what is known of one account's. Requests and handshakes that begin from now on are held to it. */
  update(accountId: string, zones: readonly ZoneRules[]): void {
    this.#accounts.set(accountId, zones);
    // Names are unique in an installation.
    const all = [...this.#accounts.values()].flat();
    this.#zones = new Map(all.map((rules) => [rules.zone, rules]));
    this.#narrows = all.some((rules) => isNarrow(rules));
  }

  /** Whether any takes fewer versions of TLS than the ingress speaks. */
  get narrowTls(): boolean {
    return this.#narrows;
  }

  /**
   * Null: no zone says anything of the host.
   * @param host lower case, without port and trailing dot
   */
  find(host: string): ZoneRules | null {
    if (this.#zones.size === 0) return null;
    for (let at = 0; ;) {
      const rules = this.#zones.get(host.slice(at));
      if (rules !== undefined) return rules;
      const dot = host.indexOf(".", at);
      if (dot === -1) return null;
      at = dot + 1;
    }
  }
}

/** Whether these are fewer versions than the ingress speaks. */
export function isNarrow({ minTls, maxTls }: TlsVersions): boolean {
  return minTls === maxTls;
}

/** @param version as Node calls what was agreed on */
export function permitsVersion({ minTls, maxTls }: TlsVersions, version: string | null): boolean {
  return minTls !== maxTls || version === minTls;
}

/** What the zone adds to an answer, of a Worker or an origin. @param isSecure it goes over TLS */
export function zoneHeaders(
  zone: ZoneRules | null,
  isSecure: boolean,
): readonly (readonly [name: string, value: string])[] {
  if (zone === null) return NONE;
  const { strictTransport, noSniff } = zone;
  return [
    // Over plain HTTP a browser must not believe it (RFC 6797, 8.1).
    ...(isSecure && strictTransport !== null
      ? [["strict-transport-security", strictTransport] as const]
      : []),
    ...(noSniff ? [["x-content-type-options", "nosniff"] as const] : []),
  ];
}

/** The same for an answer of the ingress itself, whose head is not written yet. */
export function sayOfZone(
  response: ServerResponse,
  zone: ZoneRules | null,
  isSecure: boolean,
): void {
  if (response.headersSent) return;
  for (const [name, value] of zoneHeaders(zone, isSecure)) response.setHeader(name, value);
}

/** @param headers flat: name, value … */
export function setHeader(headers: string[], name: string, value: string): void {
  for (let i = headers.length - 2; i >= 0; i -= 2) {
    if (headers[i]!.toLowerCase() === name) headers.splice(i, 2);
  }
  headers.push(name, value);
}

const NONE = [] as const;
