import { createSecureContext, type SecureContext } from "node:tls";
import type { HostClients, ServedCertificate, ServedHost } from "../../contract/hosts.ts";
import { TLS_OPTIONS } from "./tls-options.ts";

const NONE: readonly string[] = [];

/** The hosts that have TLS state of their own: exact before wildcard, a longer wildcard first. */
export class Hosts {
  readonly #accounts = new Map<string, readonly ServedHost[]>();
  /** CAs whose certificates Access may let in: of each account, for each host, PEM. */
  readonly #access = new Map<string, ReadonlyMap<string, readonly string[]>>();
  readonly #revoked = new Map<string, readonly string[]>();
  #entries: ReadonlyMap<string, HostEntry> = new Map();
  #asks = false;

  /** Replaces what is known of one account's hosts. Connections that are open stay open. */
  update(accountId: string, hosts: readonly ServedHost[], revoked: readonly string[] = NONE): void {
    this.#accounts.set(accountId, hosts);
    this.#revoked.set(accountId, revoked);
    this.#settle();
  }

  /** Replaces the CAs of one account's Access. Their hosts ask clients for certificates. */
  askFor(accountId: string, authorities: ReadonlyMap<string, readonly string[]>): void {
    if (authorities.size === 0 && !this.#access.has(accountId)) return;
    this.#access.set(accountId, authorities);
    this.#settle();
  }

  #settle(): void {
    const all = new Map<string, { served: ServedHost; accountId: string }>();
    for (const [accountId, hosts] of this.#accounts) {
      for (const served of hosts) {
        // If two accounts have a host, the first one counts. Names are unique in an installation.
        if (!all.has(served.host)) all.set(served.host, { served, accountId });
      }
    }
    const access = new Map<string, readonly string[]>();
    for (const [accountId, authorities] of this.#access) {
      for (const [host, pems] of authorities) {
        const known = lookUp(all, host);
        if (access.has(host) || (known !== null && known.accountId !== accountId)) continue;
        access.set(host, pems);
        const served = known?.served ?? { certificate: null, clients: null };
        all.set(host, { served: { ...served, host }, accountId });
      }
    }
    const entries = new Map<string, HostEntry>();
    for (const [host, { served, accountId }] of all) {
      const entry = this.#entries.get(host)?.become(served) ?? new HostEntry(served);
      entry.letIn(access.get(host) ?? [], this.#revoked.get(accountId) ?? NONE);
      entries.set(host, entry);
    }
    this.#entries = entries;
    this.#asks = [...entries.values()].some(({ clients }) => clients !== null);
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
    return lookUp(this.#entries, host);
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
  #access: readonly string[] = [];
  #clients: HostClients | null = null;

  constructor(served: ServedHost) {
    this.#served = served;
    this.#clients = served.clients;
  }

  get served(): ServedHost {
    return this.#served;
  }

  /** What it asks of its clients. Null: nothing, and they are not asked for a certificate. */
  get clients(): HostClients | null {
    return this.#clients;
  }

  /** Those of Access. PEM. */
  get access(): readonly string[] {
    return this.#access;
  }

  /** @param authorities PEM, whose certificates Access may let in. Kept as they are if they are the same */
  letIn(authorities: readonly string[], revoked: readonly string[]): void {
    const { clients } = this.#served;
    if (authorities.join() !== this.#access.join()) this.#access = authorities;
    if (clients !== null || this.#access.length === 0) this.#clients = clients;
    else if (this.#clients?.authorities !== this.#access || this.#clients.revoked !== revoked) {
      // Access decides who comes in: the Worker is told of the certificate.
      this.#clients = {
        mode: "optional",
        authorities: this.#access,
        revoked,
        forward: false,
      };
    }
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

/** An exact name goes before a wildcard, a longer wildcard before a shorter one. */
function lookUp<T>(entries: ReadonlyMap<string, T>, host: string): T | null {
  if (entries.size === 0) return null;
  const exact = entries.get(host);
  if (exact !== undefined) return exact;
  for (let dot = host.indexOf("."); dot !== -1; dot = host.indexOf(".", dot + 1)) {
    const entry = entries.get(`*${host.slice(dot)}`);
    if (entry !== undefined) return entry;
  }
  return null;
}
