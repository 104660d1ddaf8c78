import { question, STATE, type CallRules } from "../process/calls.ts";

import type { HostChallenge, ServedCertificate, ServedHost, ZoneRules } from "../contract/hosts.ts";
import type { PreviewKey, VersionPreview } from "../contract/change-feed.ts";
import type { AccountAccess } from "../contract/access.ts";
import type { ProxyOptions } from "../network/trusted-proxies.ts";
import type { PassedHandle } from "../process/passed-handle.ts";
import type { ProcessPlace } from "../process/place.ts";
import type { CountedMetrics } from "../process/summed-metrics.ts";

/** What the supervisor asks of the ingress process, over IPC. */
export interface IngressMethods {
  /** Replaces what is known of these scripts, all at once. */
  scripts(updates: readonly ScriptUpdate[]): void;
  /** Replaces who reaches the hosts of an account. Until it is told, nobody does. */
  access(update: AccessUpdate): void;
  /** Every script that is deployed was told: no other host has a Worker. */
  complete(): void;
  /**
   * Replaces the TLS state of an account's hosts. Connections that are open stay open.
   * @param revoked at hosts that only Access has CAs for
   */
  hosts(accountId: string, hosts: readonly ServedHost[], revoked: readonly string[]): void;
  /** Replaces what an account's zones say of their hosts. */
  zones(accountId: string, zones: readonly ZoneRules[]): void;
  /** Replaces what ACME servers are answered about an account's hosts. */
  challenges(accountId: string, challenges: readonly HostChallenge[]): void;
  /**
   * The default certificate, for hosts without one of their own. Sent before it listens with TLS.
   */
  presentByDefault(certificate: ServedCertificate): void;
  /** A socket that the supervisor has bound, for `listen`. */
  take(what: HeldByIngress, socket: PassedHandle): void;
  /** Begins to accept connections at the sockets that it took. */
  listen(address: ListenAddress): void;
  /** Resolves when a request to this socket was answered. */
  probe(socket: string): void;
  /**
   * No request goes to this socket any more: resolves when the last one has ended, with the ms
   * since then. 0: a WebSocket goes on. Null: this process sent it none.
   */
  retire(socket: string): number | null;
  /** ms since the last request ended, by socket. 0: one goes on. Null: this process sent it none. */
  idleFor(sockets: readonly string[]): readonly (number | null)[];
  /**
   * Closes the connections to these sockets if nothing went on at any of them for so many ms: the
   * next request connects anew. False: something did, and nothing is changed.
   */
  release(sockets: readonly string[], idleFor: number): boolean;
  /** What it has counted. */
  metrics(): CountedMetrics;
}

/** `absent`: where calls of services come that are not deployed. */
export type HeldByIngress = "http" | "https" | "absent";

export const ingressRules: CallRules<IngressMethods> = {
  scripts: STATE,
  access: STATE,
  complete: STATE,
  hosts: STATE,
  zones: STATE,
  challenges: STATE,
  presentByDefault: STATE,
  take: STATE,
  listen: STATE,
  // Again, for no deploy fails because the ingress was being replaced meanwhile.
  probe: { tries: 2, deadline: 30_000 },
  retire: { ...STATE, deadline: Infinity },
  idleFor: question(5_000),
  release: STATE,
  metrics: question(5_000),
};

/** What is known of the process at a socket whose connection was lost: whether it ended just then. */
export type HowEnded = "runs" | "ended" | "over-limit";

/** What the ingress asks of its supervisor: how a process ended, or to start one. */
export type AskedOfSupervisor =
  | { readonly ended: string }
  | { readonly wake: string }
  /** For which name the local CA is to sign. */
  | { readonly leaf: string }
  /** A version that has a host of its own. */
  | { readonly preview: PreviewKey };

export interface ListenAddress {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** The proxies that are trusted to name the client. */
  readonly proxies: ProxyOptions;
  /** Which of how many processes it is. */
  readonly place: ProcessPlace;
  /** Connections that one client address may have at once, trusted proxies excepted. 0: no limit. */
  readonly clientConnections: number;
  /** ms that a client may take nothing of what waits for it. 0: no limit. */
  readonly clientStalled: number;
  readonly workerShares: WorkerShares;
  /** Null: plain HTTP only. */
  readonly https: HttpsAddress | null;
}

/** The same for all processes together: limits are dealt out among them. */
export type WantedAddress = Omit<ListenAddress, "place">;

/** What one Worker may take. 0: no limit. */
export interface WorkerShares {
  /** Requests and WebSockets that it works on at once. */
  readonly requests: number;
  /** Bytes of a request's body. */
  readonly body: number;
}

export interface HttpsAddress {
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** Plain requests are answered with a redirect to it. */
  readonly redirect: boolean;
}

/** With its signing keys opened: they are sealed everywhere else. */
export interface IngressAccess extends Omit<AccountAccess, "keys"> {
  readonly keys: readonly {
    readonly id: string;
    readonly publicKey: Readonly<Record<string, unknown>>;
    readonly signsFrom: string;
    /** PKCS #8, PEM. */
    readonly privateKey: string;
  }[];
}

export interface AccessUpdate {
  readonly accountId: string;
  readonly access: IngressAccess;
}

export interface ScriptUpdate {
  readonly accountId: string;
  readonly scriptName: string;
  /** Null: it answers no more. */
  readonly entry: ScriptEntry | null;
}

export interface ScriptEntry {
  /** An origin answers, behind a socket of the gateway: a Worker at the same host goes before it. */
  readonly isOrigin?: true;
  /** What `Cloudflare-Workers-Version-Overrides` calls it. */
  readonly scriptName?: string;
  readonly hosts: readonly string[];
  readonly routes: readonly string[];
  /** Percentages add up to 100. None: it is deployed, and nothing of it runs yet. */
  readonly targets: readonly ScriptTarget[];
  /** Versions at hosts of their own, each started by a request for it. Default: none. */
  readonly previews?: readonly VersionPreview[];
  /** A version at such a host, of which nothing runs yet. */
  readonly starts?: PreviewKey;
}

export interface ScriptTarget {
  /** One for each of its processes, at least one; relative to the run directory. */
  readonly sockets: readonly string[];
  readonly percentage: number;
  readonly versionId?: string;
  /** Its processes tell of each call, so the ingress tells how long it took. */
  readonly isTraced?: boolean;
  /** ms that a request waits for a process that is not there. Default: a moment. */
  readonly patience?: number;
  /** A request that finds no process there has it started. */
  readonly wakes?: true;
}

/** Where the keys of assertions are, on every host behind Access. */
export const ACCESS_KEYS = "/cdn-cgi/access/certs";

/**
 * A request with this header never reaches a Worker. So a Worker that fetches keys in this way
 * reaches nothing else.
 */
export const KEYS_ONLY = "cf-access-keys-only";

/** Where the ingress answers calls of services that are not deployed; relative to the run directory. */
export const ABSENT_SOCKET = "absent";

/** The header in which the ingress hands `request.cf` over. It always overwrites a client's. */
export const CF_HEADER = "countersign-cf";

/** RPC to a Worker travels over a CONNECT to this host; both ends have to name the same one. */
export const RPC_HOST = "rpc";
