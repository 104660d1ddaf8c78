import type { Sealed } from "../keys/seal.ts";
import type { Host, HostChallenge, HostOrigin, ZoneRules } from "./hosts.ts";
import type { AccountAccess } from "./access.ts";
import type { DatabaseConfig } from "./database.ts";
import type { QueueConfig } from "./queue.ts";
import type { Observability } from "./worker-log.ts";
import type { WorkerAssets } from "./assets.ts";

/**
 * What an edge follows: the control plane's state, read piece by piece, and a feed of what changed.
 * An edge shares no disk, process or clock with the control plane: everything it needs is here.
 */
export interface Source {
  /** The newest cursor, and the keys of everything there is. An edge starts from this. */
  snapshot(): Promise<Snapshot>;
  /**
   * The changes after `cursor`, in order, as they are committed. Ends when `signal` aborts.
   * The same object may come twice; what counts is its state when it is read.
   */
  changes(cursor: number, signal: AbortSignal): AsyncIterable<Change>;
  /** What runs for a script now. Null: nothing (deleted, or only uploaded). */
  deployment(key: ScriptKey): Promise<Deployment | null>;
  /** A version that has hosts of its own. Null: it was deleted, or no longer has any. */
  preview(key: ScriptKey, versionId: string): Promise<WorkerVersion | null>;
  /** A certificate as the gateway needs it. Null: deleted. */
  certificate(accountId: string, certificateId: string): Promise<CertificateVersion | null>;
  /** A Hyperdrive configuration. Null: deleted. */
  database(accountId: string, databaseId: string): Promise<DatabaseConfig | null>;
  /** The CAs against which an account's origins are verified, beside the public roots. */
  trust(accountId: string): Promise<AccountTrust>;
  /** The hosts of an account that have TLS state of their own at the ingress. */
  hosts(accountId: string): Promise<readonly Host[]>;
  /**
   * Settings of the account's zones for their hosts: of all its zones, or of none if no zone has a
   * setting.
   */
  zones(accountId: string): Promise<readonly ZoneRules[]>;
  /** Certificates of clients that no host of an account takes any more: as in `HostClients`. */
  revocations(accountId: string): Promise<readonly string[]>;
  /** What the ingress answers to ACME servers while they issue for hosts of an account. */
  challenges(accountId: string): Promise<readonly HostChallenge[]>;
  /** The hosts of an account that origins answer for. */
  origins(accountId: string): Promise<readonly HostOrigin[]>;
  /** The queues of an account, and who consumes them. */
  queues(accountId: string): Promise<readonly QueueConfig[]>;
  /** The hosts of a script's routes: what it fetches at those that have an origin goes there. */
  routedHosts(key: ScriptKey): Promise<readonly string[]>;
  /** Who reaches the hosts of an account. */
  access(accountId: string): Promise<AccountAccess>;
}

export interface ScriptKey {
  readonly accountId: string;
  readonly scriptName: string;
}

export interface Snapshot {
  readonly cursor: number;
  readonly scripts: readonly ScriptKey[];
  readonly certificates: readonly { readonly accountId: string; readonly certificateId: string }[];
  readonly databases: readonly { readonly accountId: string; readonly databaseId: string }[];
  readonly accounts: readonly string[];
}

export type Change = { readonly cursor: number } & (
  | ({ readonly kind: "script" } & ScriptKey)
  | { readonly kind: "certificate"; readonly accountId: string; readonly certificateId: string }
  | { readonly kind: "trust"; readonly accountId: string }
  | { readonly kind: "database"; readonly accountId: string; readonly databaseId: string }
  /** A Worker's identity was revoked, or may be issued again. */
  | ({ readonly kind: "identity" } & ScriptKey)
  /** The CAs of an account's identities, or its policies, changed. */
  | { readonly kind: "identities"; readonly accountId: string }
  /** Server certificates of an account's hosts, the rules for their clients, their origins, settings of their zones, or challenges of ACME changed. */
  | { readonly kind: "hosts"; readonly accountId: string }
  /** Queues of an account, or who consumes them. */
  | { readonly kind: "queues"; readonly accountId: string }
  /** Who reaches the hosts of an account. */
  | { readonly kind: "access"; readonly accountId: string }
);

/** One script, live: the versions that share its traffic and the hosts that lead to it. */
export interface Deployment extends ScriptKey {
  /** At least one; percentages add up to 100. */
  readonly versions: readonly { readonly version: WorkerVersion; readonly percentage: number }[];
  /**
   * Hosts (lower case, no port) that reach the script. `*.example.com` is any host below it. The
   * control plane has already put `{script}.localhost` and the workers.dev name in, where enabled.
   */
  readonly hosts: readonly string[];
  /** Route patterns with a path, as in Cloudflare: `example.com/api/*`. The longest match wins. */
  readonly routes: readonly string[];
  /** Versions, deployed or not, that hosts of their own reach. Absent: none. */
  readonly previews?: readonly VersionPreview[];
}

export interface VersionPreview {
  readonly versionId: string;
  /** Lower case, no port, exact; no two versions have one in common. */
  readonly hosts: readonly string[];
}

export interface PreviewKey extends ScriptKey {
  readonly versionId: string;
}

export interface WorkerVersion extends ScriptKey {
  readonly versionId: string;
  readonly mainModule: string;
  readonly modules: readonly WorkerModule[];
  /** `2026-11-17`; never later than the runtime knows. */
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly bindings: readonly WorkerBinding[];
  /** Whose objects the script keeps, in the order of their names. Absent: it has none. */
  readonly objects?: readonly ObjectClass[];
  /** The Workflows of the script, in the order of their names. Absent: it has none. */
  readonly workflows?: readonly WorkflowClass[];
  /** What one request may take. Absent: the edge's own measure. */
  readonly limits?: WorkerLimits;
  /** Which of its calls are kept. Absent: none. */
  readonly observability?: Observability;
  /** Files that it serves. With them it may have no modules at all. Absent: none. */
  readonly assets?: WorkerAssets;
  /** Whether the platform calls it by itself, as its cron triggers and the queues that it consumes say. Absent: no. */
  readonly takesEvents?: boolean;
}

/** A class of Durable Objects. */
export interface ObjectClass {
  readonly className: string;
  /** Where its objects are kept, whatever the class is called, and in whose script. Never used again. */
  readonly namespaceId: string;
  /** Whether they have `storage.sql`. */
  readonly sql: boolean;
}

/** A Workflow, and the class that runs it. */
export interface WorkflowClass {
  /** Letters, digits, `-` and `_`: 64 at most. */
  readonly name: string;
  readonly className: string;
  /** Where its instances are kept, as a namespace of objects. Never used again. */
  readonly workflowId: string;
  /** The most steps of an instance. Absent: 10,000. */
  readonly steps?: number;
  /** How long an instance is kept that has ended: ms, or `3 days`. Absent: 30 days. */
  readonly retention?: { readonly success?: number | string; readonly error?: number | string };
}

export interface WorkerLimits {
  /** Milliseconds of CPU, 1 to 300,000. */
  readonly cpuMs?: number;
}

export interface WorkerModule {
  /** As imported: `index.js`, `lib/util.wasm`. */
  readonly name: string;
  readonly type: ModuleType;
  readonly content: Uint8Array;
}

/** `script`: all of a Worker in service-worker format, whose bindings are globals. */
export type ModuleType =
  | "esm"
  | "commonjs"
  | "script"
  | "text"
  | "data"
  | "json"
  | "wasm"
  | "sourcemap";

export type WorkerBinding = { readonly name: string } & (
  | { readonly type: "plain_text"; readonly text: string }
  | { readonly type: "json"; readonly json: unknown }
  /** Unsealed by the edge, under the `secretPlace` of the version that has it. */
  | { readonly type: "secret_text"; readonly sealed: Sealed }
  | {
      readonly type: "mtls_certificate";
      readonly certificateId: string;
      /** The process that makes its connections: workerd itself, or (default) the gateway. */
      readonly mode?: BindingMode;
    }
  | {
      readonly type: "service";
      readonly service: string;
      readonly entrypoint?: string;
      /** What the other Worker finds in `ctx.props`. */
      readonly props?: Readonly<Record<string, unknown>>;
    }
  /** A database, through the gateway. */
  | { readonly type: "hyperdrive"; readonly databaseId: string }
  | { readonly type: "kv_namespace"; readonly namespaceId: string }
  | { readonly type: "d1"; readonly databaseId: string }
  | { readonly type: "r2_bucket"; readonly bucketName: string }
  /** @property deliveryDelay seconds, for messages that say none */
  | { readonly type: "queue"; readonly queueName: string; readonly deliveryDelay?: number }
  | {
      readonly type: "ratelimit";
      readonly namespaceId: string;
      /** Requests in a period of so many seconds. */
      readonly limit: number;
      readonly period: number;
    }
  | { readonly type: "analytics_engine"; readonly dataset: string }
  /** The version's own static assets. */
  | { readonly type: "assets" }
  /** The content of another module, in service-worker format. */
  | { readonly type: EmbeddedType; readonly part: string }
  /** A class of the script itself, or of another. */
  | {
      readonly type: "durable_object_namespace";
      readonly className: string;
      /** Absent: the script's own. */
      readonly remote?: RemoteObjects;
    }
  /** A Workflow of the script itself. */
  | { readonly type: "workflow"; readonly workflowName: string; readonly className: string }
  | {
      readonly type: "version_metadata";
      readonly id: string;
      readonly tag: string;
      readonly timestamp: string;
    }
);

/** Objects of another script. */
export interface RemoteObjects {
  /** The script that has them now, or that had them last if they were deleted. */
  readonly scriptName: string;
  /** As of `ObjectClass`: it stays when the class is renamed or transferred. */
  readonly namespaceId: string;
}

export type EmbeddedType = "text_blob" | "data_blob" | "wasm_module";

export type BindingMode = "gateway" | "in-process";

/** The active version of a leaf certificate. Its key is sealed: only the gateway opens it. */
export interface CertificateVersion {
  readonly accountId: string;
  readonly certificateId: string;
  readonly name: string | null;
  /** Counts up with each rotation, from 1. */
  readonly version: number;
  /** Leaf first, PEM. */
  readonly chain: string;
  readonly sealedKey: Sealed;
  /** The id of the place under which the key was sealed (kind `certificate-key`). */
  readonly sealedId: string;
  /** Hosts it may be presented to, `*.example.com` allowed. Null: any. */
  readonly allowedHosts: readonly string[] | null;
  /** CAs (PEM) that replace the account's trust for this certificate. Null: the account's. */
  readonly trust: readonly string[] | null;
  /** Set if this version was revoked: it is not presented and all connections are cut. */
  readonly revokedOn: string | null;
  /** Of an identity: the Worker that had it was deleted. Default: false. */
  readonly ofDeleted?: boolean;
  /** Versions whose connections are cut while this one goes on. Default: none. */
  readonly revokedVersions?: readonly number[];
}

/** A CA, and the servers that it vouches for. */
export interface SpiffeAuthority {
  /** PEM. */
  readonly authority: string;
  /** SPIFFE IDs; `*` stands for characters of one segment, `**` for any. */
  readonly ids: readonly string[];
}

export interface AccountTrust {
  /** CA certificates, PEM, that origins of this account are verified against. */
  readonly authorities: readonly string[];
  /** CAs that count for one host only: host (or `*.example.com`) → PEMs. */
  readonly hosts: Readonly<Record<string, readonly string[]>>;
  /**
   * Host (or `*.example.com`) → CAs of a trust domain. They alone verify its servers there, which have
   * one of the SPIFFE IDs in place of the host's name. Default: none.
   */
  readonly spiffe?: Readonly<Record<string, readonly SpiffeAuthority[]>>;
  /** Hosts in zones marked proxied: a binding answers 520 for them. */
  readonly proxied: readonly string[];
}
