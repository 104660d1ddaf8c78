import type { IncomingMessage } from "node:http";
import type { FailureCode } from "../failures/failures.ts";
import { FairShares } from "../network/fair-shares.ts";
import { neighbourhood } from "../network/ranges.ts";
import type { TrustedProxies } from "../network/trusted-proxies.ts";
import type { WorkerShares } from "./protocol.ts";

export interface RequestSharesOptions {
  readonly workers: WorkerShares;
  /** Requests and WebSockets of one address (IPv6: a /64) at once. 0: no limit. */
  readonly ofClient: number;
  readonly proxies: TrustedProxies;
}

/** What each Worker may take, and each client: HTTP/2 has many requests in one connection. */
export class RequestShares {
  readonly #workers: WorkerShares;
  readonly #clients: FairShares | null;
  readonly #proxies: TrustedProxies;

  constructor({ workers, ofClient, proxies }: RequestSharesOptions) {
    this.#workers = workers;
    this.#clients = ofClient === 0 ? null : new FairShares(Infinity, [ofClient]);
    this.#proxies = proxies;
  }

  /** Bytes. 0: no limit. */
  get mostBody(): number {
    return this.#workers.body;
  }

  /**
   * Which limit the request exceeds. Otherwise to be called once, when it has ended.
   * @param running how many its Worker has
   * @param client its address. Null: not known
   */
  enter(
    { headers }: IncomingMessage,
    running: number,
    client: string | null,
  ): FailureCode | (() => void) {
    const { requests, body } = this.#workers;
    if (requests > 0 && running >= requests) return "worker_requests_exceeded";
    if (body > 0 && Number(headers["content-length"] ?? 0) > body) return "worker_body_too_large";
    if (client === null || this.#clients === null || this.#proxies.trusts(client)) return nothing;
    return this.#clients.take([neighbourhood(client)]) ?? "client_requests_exceeded";
  }
}

function nothing(): void {}
