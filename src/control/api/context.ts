import type { Logger } from "pino";
import type { KeyIntake } from "../../certificates/key-intake.ts";
import type { Keyring } from "../../keys/seal.ts";
import type { Edge } from "../../contract/edge.ts";
import type { Journal, TailService } from "../../contract/journal.ts";

import type { BodyShares } from "./body-shares.ts";
import type { Outbound } from "../../network/outbound.ts";
import type { Store } from "../../store/store.ts";

/** What the control plane stands on. */
export interface ControlContext {
  readonly store: Store;
  readonly keyring: Keyring;
  /** Takes uploaded keys, so that they are not in this process. */
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
  /** How much of what is sent and answered is held, of each account. */
  readonly bodies: BodyShares;
  /** For URLs that accounts choose. */
  readonly outbound: Outbound;
  readonly clock: () => Date;
  /** The logs of Workers. Absent: none are kept. */
  readonly logs?: { readonly journal: Journal; readonly tails: TailService };
  readonly log: Logger;
  /** The newest compatibility date that the runtime knows: `2026-11-17`. */
  readonly latestCompatibilityDate: string;
  readonly limits: ControlLimits;
}

export interface ControlLimits {
  /** Bytes of one script upload, all of its modules. Default: 64 MiB. */
  readonly script: number;
  /** Bytes of static assets an account, on the disk. Default: 10 GiB. */
  readonly assets: number;
  /** Leaf certificates an account. Default: 1,000. */
  readonly certificates: number;
  /** CAs an account. Default: 5. */
  readonly authorities: number;
  /** DNS records an account. Default: 1,000. */
  readonly dnsRecords: number;
  /** Wrong tokens an address may send before its answers are held back. Default: 20. */
  readonly failedTries: number;
  /** Whether a binding may be in-process: false keeps every key in the gateway. Default: true. */
  readonly inProcess: boolean;
}

export const defaultLimits: ControlLimits = {
  script: 64 * 1024 * 1024,
  assets: 10 * 1024 * 1024 * 1024,
  certificates: 1000,
  authorities: 5,
  dnsRecords: 1000,
  failedTries: 20,
  inProcess: true,
};
