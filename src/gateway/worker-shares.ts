import { keyIn } from "../contract/key-in.ts";
import type { GatewayBinding } from "../contract/gateway.ts";
import type { GatewayOptions } from "../contract/gateway-options.ts";
import { FairShares } from "../network/fair-shares.ts";
import { Shares } from "./shares.ts";

type Owner = Pick<GatewayBinding, "accountId" | "scriptName">;

/**
 * What all bindings of a Worker have together, and all of an account. Each result is null if the Worker
 * has as many as it may; otherwise it is to be called once, when the connection ends.
 */
export class WorkerShares {
  readonly #streams: Shares;
  readonly #connections: FairShares;

  constructor(options: GatewayOptions) {
    const { streams, workerConnections, accountConnections } = options;
    this.#streams = new Shares(streams);
    const all = accountConnections * ACCOUNTS;
    this.#connections = new FairShares(all, [accountConnections, workerConnections]);
  }

  /** For a `connect()`, besides `connection`. */
  stream({ accountId, scriptName }: Owner): (() => void) | null {
    return this.#streams.take(keyIn(accountId, scriptName));
  }

  /** For a connection to any binding. */
  connection({ accountId, scriptName }: Owner): (() => void) | null {
    return this.#connections.take([accountId, scriptName]);
  }
}

/** As many accounts as have all of their connections at once: more get less. */
const ACCOUNTS = 3;
