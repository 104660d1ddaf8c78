import { createSecureContext, type SecureContext } from "node:tls";
import type { ServedCertificate, ServedHost } from "../contract/hosts.ts";
import { TLS_OPTIONS } from "./tls-options.ts";

/** The hosts that have TLS state of their own: exact before wildcard, a longer wildcard first. */
export class Hosts {
  readonly #accounts = new Map<string, readonly ServedHost[]>();
  #entries: ReadonlyMap<string, HostEntry> = new Map();
  #asks = false;

  /** Replaces what is known of one account's hosts. Connections that are open stay open. */
  update(accountId: string, hosts: readonly ServedHost[]): void {
    this.#accounts.set(accountId, hosts);
    const entries = new Map<string, HostEntry>();
    for (const served of [...this.#accounts.values()].flat()) {
      const before = this.#entries.get(served.host);
      // A host that two accounts have is the first one's: names are unique in an installation.
      if (entries.has(served.host)) continue;
      entries.set(served.host, before?.become(served) ?? new HostEntry(served));
    }
    this.#entries = entries;
    this.#asks = [...entries.values()].some(({ served }) => served.clients !== null);
  }

  /** Whether any host wants to see its clients' certificates. */
  get askForCertificates(): boolean {
    return this.#asks;
  }

  /**
   * Null: only what all hosts have.
   * @param host lower case, without port and trailing dot
   */
  find(host: string): HostEntry | null {
    const exact = this.#entries.get(host);
    if (exact !== undefined) return exact;
    for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
      const entry = this.#entries.get(`*${host.slice(dot)}`);
      if (entry !== undefined) return entry;
    }
    return null;
  }

  /**
   * Whether a connection whose handshake was for `serverName` may carry requests for `host`: never
   * where another certificate or other rules for clients would have been in force.
   * @param serverName null: the client named none
   */
  isSame(serverName: string | null, host: string): boolean {
    if (serverName === host) return true;
    const asked = serverName === null ? null : this.find(serverName);
    return asked === this.find(host);
  }
}

/** One host's TLS state. It stays the same object for as long as the host is known. */
export class HostEntry {
  #served: ServedHost;
  #context: SecureContext | null = null;

  constructor(served: ServedHost) {
    this.#served = served;
  }

  get served(): ServedHost {
    return this.#served;
  }

  become(served: ServedHost): this {
    if (!isSamePair(served.certificate, this.#served.certificate)) this.#context = null;
    this.#served = served;
    return this;
  }

  /** Made at the first handshake that wants it. Null: the default certificate is presented. */
  get context(): SecureContext | null {
    const { certificate } = this.#served;
    if (certificate === null) return null;
    return (this.#context ??= contextOf(certificate));
  }
}

/** @throws Error if the two do not fit each other */
export function contextOf({ chain, key }: ServedCertificate): SecureContext {
  return createSecureContext({ ...TLS_OPTIONS, cert: chain, key });
}

function isSamePair(one: ServedCertificate | null, other: ServedCertificate | null): boolean {
  return one?.chain === other?.chain && one?.key === other?.key;
}

/** As a client writes it in SNI or `Host`. */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
