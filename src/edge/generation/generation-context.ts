import type { AssetStore } from "../assets.ts";
import type { Logger } from "pino";
import type { Keyring } from "../../keys/seal.ts";
import type { GatewayHandle } from "../../contract/gateway.ts";
import type { IdleWorkers } from "../idle.ts";
import type { HeldIdentities } from "../identities.ts";
import type { MemoryGroups } from "../../process/memory-groups.ts";
import type { RunDirectory } from "../../process/run-directory.ts";
import type { Sandbox } from "../../process/walls/sandbox-kinds.ts";
import type { SharedSlots } from "../shared-slots.ts";
import type { ScriptKey } from "../../contract/change-feed.ts";
import type { MappingTime } from "../logs/mapping-time.ts";
import type { WorkerEvent } from "../../contract/worker-log.ts";
import type { WorkerdNetwork } from "../../network/workerd-network.ts";
import type { ProcessLimits } from "./worker-limits.ts";
import type { Storage } from "../storage/storage.ts";
import type { Timings } from "../logs/worker-log.ts";

/** What the generations of an edge share. */
export interface GenerationContext {
  readonly run: RunDirectory;
  readonly sandbox: Sandbox;
  readonly keyring: Keyring;
  readonly gateway: Pick<GatewayHandle, "openBinding" | "closeBinding">;
  readonly storage: Storage;
  readonly assets: AssetStore;
  /** Null: no Worker has an identity here. */
  readonly identities: HeldIdentities | null;
  /** A listening socket at which its generations answer beside their own. Null: there is none. */
  readonly listener: number | null;
  /** How many each generation has, at least one. */
  readonly processes: number;
  /** Bounds how many start at a time, shared by account. */
  readonly starts: SharedSlots;
  /** The same for those that ran and have ended: they do not wait behind deploys. */
  readonly restarts: SharedSlots;
  /** What a process that starts now may reach: the machine's addresses are read again. */
  networks(): {
    readonly fetch: WorkerdNetwork;
    readonly inProcess: WorkerdNetwork;
    readonly accessKeys: string;
  };
  readonly limits: ProcessLimits;
  readonly memoryGroups: MemoryGroups;
  /** Where origins listen that DNS records name. */
  readonly originPort: number;
  /** ms */
  readonly startTimeout: number;
  readonly log: Logger;
  /** Takes what Workers have to say. */
  readonly tell: (event: WorkerEvent) => void;
  readonly timings: Timings;
  readonly mapping: MappingTime;
  /** Resolves when a request to the socket was answered. */
  probe(socket: string): Promise<void>;
  /** Has a path lead to the target of a service binding. */
  linkService(path: string, target: ScriptKey, entrypoint: string): Promise<void>;
  unlinkServices(paths: readonly string[]): void;
  /** Another process listens at these sockets by now. */
  renewLinks(sockets: readonly string[]): Promise<void>;
  /** The doors of a script that others bind: see `doorOf`. */
  wantedEntrypoints(key: ScriptKey): readonly string[];
  nextId(): number;
  /** Who is stopped while nobody needs it. */
  readonly idle: Pick<IdleWorkers, "isOn" | "add" | "remove" | "begin" | "rouseCalled">;
}
