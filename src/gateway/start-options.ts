import type { Logger } from "pino";
import type { GatewayEvent } from "../contract/gateway-event.ts";
import type { AddressOptions, GatewayOptions } from "../contract/gateway-options.ts";
import type { ProcessRecords } from "../process/orphans.ts";
import type { ProcessUser } from "../process/walls/process-users.ts";

export interface StartGatewayOptions extends Partial<
  Omit<GatewayOptions, "addresses" | "timeouts">
> {
  /** The working directory of the gateway: sockets are relative to it. */
  readonly runDirectory: string;
  /**
   * Whom its processes run as. They need nothing of the run directory: sockets are made there for
   * them, and handed over. Default: the user of this process, and one process makes its own.
   */
  readonly user?: ProcessUser | null;
  /** 32 bytes. */
  readonly masterKey: Uint8Array;
  readonly addresses?: Partial<AddressOptions>;
  readonly timeouts?: Partial<GatewayOptions["timeouts"]>;
  /** Handshakes and failures, by certificate and origin: the last of each, a few times a second. */
  readonly onEvent?: (event: GatewayEvent) => void;
  /** Its lines go there, and that it ended. Default: nowhere. */
  readonly log?: Logger;
  /** Where its process is remembered, for a start after this one was killed. Default: nowhere. */
  readonly processes?: ProcessRecords;
  /**
   * How many processes it is. More than one accept from the same sockets, and share the limits of
   * connections. Default: 1.
   */
  readonly count?: number;
  /** The module that it runs. Default: the gateway's own. */
  readonly modulePath?: string;
}
