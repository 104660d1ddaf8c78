import type { PreviewShares } from "./previews.ts";
import type { Logger } from "pino";
import type { StartGatewayOptions } from "../gateway/start-options.ts";
import type { HttpsAddress, WorkerShares } from "../ingress/protocol.ts";
import type { ServedCertificate } from "../contract/hosts.ts";
import type { Edge } from "../contract/edge.ts";
import type { IdentityIssuer } from "../contract/identity.ts";
import type { ProcessUsers } from "../process/walls/process-users.ts";
import type { SandboxMode } from "../process/walls/sandbox-kinds.ts";
import type { ScriptKey, Source } from "../contract/change-feed.ts";
import type { ProxyOptions } from "../network/trusted-proxies.ts";
import type { ProcessLimits } from "./generation/worker-limits.ts";
import type { WorkerEvent } from "../contract/worker-log.ts";
import type { WorkerPort } from "./worker-ports.ts";

export interface EdgeOptions {
  readonly source: Source;
  /** 32 bytes: opens secrets here, and keys in the gateway. */
  readonly masterKey: Uint8Array;
  /** This edge's alone; made if it is not there, emptied at start and at the end. */
  readonly runDirectory: string;
  /** What Workers keep: an absolute path, made if it is not there. Null, the default: nothing is kept. */
  readonly storageFolder?: string | null;
  /** The port of the ingress. 0: a free one. */
  readonly httpPort: number;
  /** The address that the ingress listens on. Default: 127.0.0.1. */
  readonly httpHost?: string;
  /** TLS at the ingress. Default: plain HTTP only. */
  readonly https?: EdgeHttps | null;
  /** The proxies that are trusted to name the client. Default: nobody's. */
  readonly proxies?: ProxyOptions;
  /**
   * Connections that one client address (IPv6: a /64) may have at once, trusted proxies excepted.
   * 0: no limit. Default: 1,024.
   */
  readonly clientConnections?: number;
  /** ms that a client may take nothing of what a Worker sends it. 0: no limit. Default: five minutes. */
  readonly clientStalled?: number;
  /** What each Worker may take of the ingress. Default: without limits. */
  readonly workerShares?: WorkerShares;
  /**
   * Addresses that `fetch()` without a binding may reach: `public`, `private`, `local`, or CIDR
   * blocks. Default: `["public"]`.
   */
  readonly networkAllow?: readonly string[];
  /** Where origins listen that DNS records name. Default: 443. */
  readonly originPort?: number;
  /** Where else the platform listens: Workers reach none of it. Default: nowhere. */
  readonly otherListeners?: readonly { readonly host: string; readonly port: number }[];
  /** How the gateway connects; see `GatewayOptions` for its defaults. */
  readonly gateway?: Omit<StartGatewayOptions, "runDirectory" | "masterKey" | "processes">;
  /** Issues identities to Workers that bind one. Default: none. */
  readonly identities?: IdentityIssuer;
  /** Takes the log of Workers: what they write, and what is reported about them. Default: none. */
  readonly onWorkerEvent?: (event: WorkerEvent) => void;
  readonly log: Logger;
  /** Where Workers are reached without the ingress. Default: nowhere. */
  readonly workerPorts?: readonly WorkerPort[];
  /** How many processes each Worker runs in, at least one: requests go to the least busy. Default: 1. */
  readonly workerProcesses?: number;
  /** How many processes accept the connections of clients. Default: one */
  readonly ingressProcesses?: number;
  /**
   * ms without a request after which a Worker is stopped until the next one; at least twice
   * `waitUntil`. Null, the default: never, and all are started at once.
   */
  readonly idleAfter?: number | null;
  /** Of versions that run at hosts of their own. Default: 4 an account, 16 in all, idle after a minute. */
  readonly previews?: Partial<PreviewShares>;
  /** What `runDirectory` and `storageFolder` are in, this platform's alone. Default: `runDirectory`. */
  readonly dataFolder?: string;
  /** Whether Workers run in a sandbox of the operating system's. Default: `auto`. */
  readonly sandbox?: SandboxMode;
  /** Whom the platform's own processes run as. Default: the user of this process. */
  readonly users?: ProcessUsers;
  /** What each process of a Worker may take. Default: 128 MiB, 10 s. */
  readonly limits?: Partial<ProcessLimits>;
  /** Default: the workerd that comes with the package. */
  readonly workerdPath?: string;
  /** ms for a Worker from its start to its first answer. Default: 15,000. */
  readonly startTimeout?: number;
  /** ms that a generation which was replaced may go on with its requests. Default: 30,000. */
  readonly drain?: number;
  /** ms that its `waitUntil()` tasks have after that, as on Cloudflare. Default: 30,000. */
  readonly waitUntil?: number;
  /**
   * ms that everything may go on with its requests when the edge stops. `waitUntil()` tasks have
   * no time of their own then. Default: 5,000.
   */
  readonly stopGrace?: number;
}

export interface EdgeHttps extends HttpsAddress {
  /** What hosts present that have no certificate of their own. */
  readonly byDefault: ServedCertificate;
  /**
   * For a name below one of this machine's own, which most clients take no wildcard for. Null:
   * it is none. Default: all of them present `byDefault`.
   */
  readonly localLeaf?: (name: string) => Promise<ServedCertificate | null>;
}

export interface StartedEdge extends Edge {
  /** The absolute path of a socket that presents a certificate for a program on this machine. */
  openLocalBinding(accountId: string, certificateId: string): Promise<string>;
  /** Where clients reach the Workers: `http://127.0.0.1:8080`. */
  readonly httpUrl: string;
  readonly httpPort: number;
  /** `https://127.0.0.1:8443`. Null: there is no TLS. */
  readonly httpsUrl: string | null;
  /** Swaps what hosts present that have no certificate of their own. */
  presentByDefault(certificate: ServedCertificate): Promise<void>;
  /** By the name of a Worker, after its account's id where that is another: where it is reached without the ingress. */
  workerPorts(firstAccount: string): Readonly<Record<string, readonly string[]>>;
  /** Where one Worker is reached without the ingress: `http://127.0.0.1:8080`, or a path. */
  portsOf(key: ScriptKey): readonly string[];
  /** Of ingress, gateway and Workers, as Prometheus reads them. What is being restarted is left out. */
  metrics(): Promise<string>;
  /** All ports of the platform, as the gateway refuses them on this machine. */
  readonly ownPorts: readonly number[];
}
