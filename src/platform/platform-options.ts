import type { ShownDetails } from "../failures/rendered.ts";
import type { Logger } from "pino";
import type { ProxyOptions } from "../network/trusted-proxies.ts";
import type { PairFiles } from "./served-pair.ts";
import type { ProcessLimits } from "../edge/generation/worker-limits.ts";
import type { WorkerPort } from "../edge/worker-ports.ts";
import type { SandboxMode } from "../process/walls/sandbox-kinds.ts";
import type { HttpsAddress, WorkerShares } from "../ingress/protocol.ts";
import type { SegmentLimits } from "../journal/segments.ts";
import type { MasterKeyVariables } from "../keys/master-key.ts";

export interface PlatformOptions {
  /** Made if it is missing. One platform at a time holds it. */
  readonly dataFolder: string;
  /** The address that the ingress listens on, where Workers answer. */
  readonly host: string;
  /** The address of the API, which receives tokens and private keys: loopback, unless another one is asked for. */
  readonly apiHost: string;
  /** The API and the sign-in pages over TLS: `local` presents a certificate of the local CA. Null: plain HTTP. */
  readonly apiTls: PairFiles | "local" | null;
  /** Allows plain HTTP for the API on an address that others can reach. */
  readonly unsafePlainApi: boolean;
  /** The proxies whose headers about clients are believed, for the API and for Workers. */
  readonly proxies: ProxyOptions;
  /** Connections that one client address may have at the ingress, trusted proxies excepted. 0: no limit. */
  readonly clientConnections: number;
  /** ms that a client may take nothing of what a Worker sends it. 0: no limit. */
  readonly clientStalled: number;
  /** The port of origins that DNS records name. */
  readonly originPort: number;
  /** 0 takes a free port. */
  readonly apiPort: number;
  readonly httpPort: number;
  /** The address for TLS, where Workers answer. Null: plain HTTP only. */
  readonly https: HttpsAddress | null;
  /** Names beside `localhost` that lead to this machine. Its own CA issues certificates for them. */
  readonly localNames: readonly string[];
  /** `https://countersign.example`, if a proxy ends TLS in front of the API. Null: the API is reached directly. */
  readonly publicUrl: string | null;
  /** Bindings may reach loopback. */
  readonly development: boolean;
  /** CIDRs that bindings may reach in addition to the defaults. `originDeny`: that they may not reach. */
  readonly originAllow: readonly string[];
  readonly originDeny: readonly string[];
  /** What `fetch()` without a binding may reach: `public`, `private`, `local`, or CIDRs. */
  readonly fetchAllow: readonly string[];
  /** How many processes each Worker runs in, at least one. */
  readonly workerProcesses: number;
  /** How many processes the ingress is, at least one. */
  readonly ingressProcesses: number;
  /** How many processes the gateway is, at least one. */
  readonly gatewayProcesses: number;
  /** MiB of heap and seconds of CPU that each process of a Worker may use. 0: no limit. */
  readonly limits: ProcessLimits;
  /** Whether Workers run in one of the operating system's sandboxes. */
  readonly sandbox: SandboxMode;
  /** What each Worker may use, and how long it may go on after it was replaced. */
  readonly workerShares: WorkerShares & {
    readonly startTimeout: number;
    readonly drain: number;
    /** ms without a request after which a Worker is stopped until the next request. Null: never. */
    readonly idleAfter: number | null;
  };
  /** How much of each Worker's log is kept. */
  readonly logs: SegmentLimits;
  /** The port on loopback from which Prometheus reads. Null: none. */
  readonly metricsPort: number | null;
  /** Base URL of the OTLP/HTTP collector that the gateway exports spans to. Null: none. */
  readonly otlpEndpoint: string | null;
  /** Whether bodies of failures contain hosts, addresses and issuers. Workers may pass these bodies on to anyone. */
  readonly failureDetails: ShownDetails;
  /** Where Workers are reached without the ingress. Without an account, the first account's Workers. */
  readonly workerPorts: readonly (Omit<WorkerPort, "accountId"> & {
    readonly accountId: string | null;
  })[];
  /** How long a connection to an origin is used, in seconds, give or take a tenth. */
  readonly connectionLife: number;
  /** Limits for each Worker's `connect()`: connections at once, and how many seconds each may carry nothing. */
  readonly connect: { readonly most: number; readonly idle: number };
  readonly systemRoots: boolean;
  /** Hosts of origins that may choose an old cipher suite. */
  readonly unsafeOldTls: readonly string[];
  /** Where the master key is. Without any of them: in the data folder's own file. */
  readonly masterKey: MasterKeyVariables;
  /** False: no binding is in-process, so every key stays in the gateway. */
  readonly inProcess: boolean;
  /** How many days entries of the audit log are kept. 0: for ever. */
  readonly auditDays: number;
  /** The trust domain of the identities that Workers are issued. */
  readonly trustDomain: string;
  readonly log: Logger;
}

export interface Platform extends AsyncDisposable {
  /** `http://127.0.0.1:4400/client/v4` */
  readonly api: string;
  /** `http://127.0.0.1:4480`: where Workers answer. */
  readonly http: string;
  /** `https://127.0.0.1:4443`. Null: there is no TLS. */
  readonly https: string | null;
  /** By `NAME` or `ACCOUNT_ID/NAME` of a Worker: the addresses at which it is reached without the ingress. */
  readonly workers: Readonly<Record<string, readonly string[]>>;
  /** The address from which Prometheus reads. Null: none. */
  readonly metrics: string | null;
  readonly accountId: string;
  /** One line: what keeps Workers apart from everything else on this machine. */
  readonly sandbox: string;
  /** One line: the users that the platform's own processes run as. */
  readonly users: string;
  /** The first API token, at the first start only. Null: it was made at an earlier start. */
  readonly token: string | null;
  /** Tokens and private keys cross a network unencrypted. */
  readonly apiIsInClear: boolean;
  /**
   * Ends the platform after an uncaught exception: requests in flight are answered, with a failure if they take longer
   * than two seconds.
   */
  abandon(): Promise<void>;
}
