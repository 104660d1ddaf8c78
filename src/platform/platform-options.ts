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
  /** Made where there is none. One platform holds it at a time. */
  readonly dataFolder: string;
  /** The address that the ingress listens on, where Workers answer. */
  readonly host: string;
  /** The address of the API, which takes tokens and private keys: loopback, unless it is asked for. */
  readonly apiHost: string;
  /** The API and the sign-in pages over TLS: `local` presents a certificate of the local CA. Null: plain HTTP. */
  readonly apiTls: PairFiles | "local" | null;
  /** Plain HTTP on an address that others reach. */
  readonly unsafePlainApi: boolean;
  /** Whose word about clients counts, for the API and for Workers. */
  readonly proxies: ProxyOptions;
  /** Connections that one client address may have at the ingress, trusted proxies excepted. 0: no limit. */
  readonly clientConnections: number;
  /** Where origins listen that DNS records name. */
  readonly originPort: number;
  /** 0 takes a free port. */
  readonly apiPort: number;
  readonly httpPort: number;
  /** TLS where Workers answer. Null: plain HTTP only. */
  readonly https: HttpsAddress | null;
  /** Names beside `localhost` that lead to this machine: its own CA speaks for them. */
  readonly localNames: readonly string[];
  /** `https://countersign.example`, where a proxy ends TLS before the API. Null: it is reached directly. */
  readonly publicUrl: string | null;
  /** Bindings may reach loopback. */
  readonly development: boolean;
  /** CIDRs that bindings may, or may not, reach beside the defaults. */
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
  /** MiB of heap and seconds of CPU that each process of a Worker may take. 0: no limit. */
  readonly limits: ProcessLimits;
  /** Whether Workers run in a sandbox of the operating system's. */
  readonly sandbox: SandboxMode;
  /** What each Worker may take, and how long it goes on when it is replaced. */
  readonly workerShares: WorkerShares & {
    readonly startTimeout: number;
    readonly drain: number;
    /** ms without a request after which it is stopped until the next one. Null: never. */
    readonly idleAfter: number | null;
  };
  /** How much of each Worker's log is kept. */
  readonly logs: SegmentLimits;
  /** What Prometheus reads, on loopback. Null: none. */
  readonly metricsPort: number | null;
  /** Base URL of the OTLP/HTTP collector that the gateway exports spans to. Null: none. */
  readonly otlpEndpoint: string | null;
  /** Whether bodies of failures say hosts, addresses and issuers, which Workers hand on to anyone. */
  readonly failureDetails: ShownDetails;
  /** Where Workers are reached without the ingress. Without an account: those of the first one. */
  readonly workerPorts: readonly (Omit<WorkerPort, "accountId"> & {
    readonly accountId: string | null;
  })[];
  /** Seconds that a connection to an origin is used, more or less a tenth. */
  readonly connectionLife: number;
  /** Of a Worker's `connect()`: connections at once, and the seconds that each may carry nothing. */
  readonly connect: { readonly most: number; readonly idle: number };
  readonly systemRoots: boolean;
  /** Hosts of origins that may choose an old cipher suite. */
  readonly unsafeOldTls: readonly string[];
  /** Where the master key is. None of them: the data folder's own file. */
  readonly masterKey: MasterKeyVariables;
  /** False: no binding is in-process, every key stays in the gateway. */
  readonly inProcess: boolean;
  /** Days that entries of the audit log are kept. 0: for ever. */
  readonly auditDays: number;
  /** Of the identities that Workers are issued. */
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
  /** By `NAME` or `ACCOUNT_ID/NAME` of a Worker: where it is reached without the ingress. */
  readonly workers: Readonly<Record<string, readonly string[]>>;
  /** Where Prometheus reads. Null: nowhere. */
  readonly metrics: string | null;
  readonly accountId: string;
  /** What keeps Workers apart from everything else on this machine, in a line. */
  readonly sandbox: string;
  /** Whom its own processes run as, in a line. */
  readonly users: string;
  /** The first API token, at the first start only. Null: there was one before. */
  readonly token: string | null;
  /** Tokens and private keys go over a network in clear. */
  readonly apiIsInClear: boolean;
  /**
   * Ends it after an exception that nothing caught: what is in flight is answered, by a failure
   * where that takes longer than two seconds.
   */
  abandon(): Promise<void>;
}
