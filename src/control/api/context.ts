import type { Logger } from "pino";
import type { KeyIntake } from "../../certificates/key-intake.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { Edge } from "../../contract/edge.ts";
import type { Journal, TailService } from "../../contract/journal.ts";

import type { BodyShares } from "./body-shares.ts";
import type { Outbound } from "../../network/outbound.ts";
import type { Store } from "../../store/store.ts";

/** The parts that endpoints of the control plane use. */
export interface ControlContext {
  readonly store: Store;
  readonly keyring: Keyring;
  /** Reads uploaded keys in a separate process, so that this process never has them. */
  readonly intake: KeyIntake;
  readonly edge: Pick<Edge, "stage" | "discard" | "applied" | "testHandshake" | "testDatabase"> &
    Partial<
      Pick<
        Edge,
        | "status"
        | "storage"
        | "assets"
        | "scheduled"
        | "removeObjects"
        | "workflow"
        | "workflowInstances"
      >
    >;
  /** Limits the bytes that each account's calls hold. */
  readonly bodies: BodyShares;
  /** Sends requests to URLs that accounts choose. */
  readonly outbound: Outbound;
  readonly clock: () => Date;
  /** The logs of Workers. Absent: no logs are kept. */
  readonly logs?: { readonly journal: Journal; readonly tails: TailService };
  readonly log: Logger;
  /** The newest compatibility date that the runtime knows: `2026-11-17`. */
  readonly latestCompatibilityDate: string;
  readonly limits: ControlLimits;
}

export interface ControlLimits {
  /** Bytes of one script upload, with all its modules. Default: 64 MiB. */
  readonly script: number;
  /** Bytes of static assets for each account, on the disk. Default: 10 GiB. */
  readonly assets: number;
  /** Leaf certificates for each account. Default: 1,000. */
  readonly certificates: number;
  /** CAs for each account. Default: 5. */
  readonly authorities: number;
  /** DNS records for each account. Default: 1,000. */
  readonly dnsRecords: number;
  /** Wrong tokens that an address may send before its answers are delayed. Default: 20. */
  readonly failedTries: number;
  /** Whether a binding may be in-process: false keeps every key in the gateway. Default: true. */
  readonly inProcess: boolean;
}

export const defaultControlLimits: ControlLimits = {
  script: 64 * 1024 * 1024,
  assets: 10 * 1024 * 1024 * 1024,
  certificates: 1000,
  authorities: 5,
  dnsRecords: 1000,
  failedTries: 20,
  inProcess: true,
};
