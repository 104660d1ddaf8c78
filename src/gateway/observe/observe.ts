import type { ShownDetails } from "../../failures/rendered.ts";
import type { GatewayEvent } from "../../contract/gateway-event.ts";
import type { Logger } from "pino";
import { failures, type Failure } from "../../failures/failures.ts";
import { NO_CERTIFICATE, type GatewayBinding } from "../../contract/gateway.ts";
import type { Metrics } from "./metrics.ts";
import type { Credential } from "../../certificates/credential.ts";
import type { PoolScope } from "../origin/pool.ts";
import type { BindingCounts } from "../route.ts";

/** What the gateway tells of its work. */
export interface Observer {
  traffic(binding: GatewayBinding): BindingCounts;
  connected(scope: PoolScope, connection: NewConnection): void;
  handshakeFailed(scope: PoolScope, failure: Failure): void;
  /** @param certificateId what its connections present. Null: nothing. */
  connections(binding: GatewayBinding, certificateId: string | null): ConnectionObserver;
}

/** Of a binding's connections that are no requests. */
export interface ConnectionObserver {
  readonly details: ShownDetails;
  connected(origin: string, credential: Credential | null, connection: NewConnection): void;
  failed(failure: Failure, origin: string | null, ray: string): void;
}

export interface NewConnection {
  /** From the name's resolution to the end of the handshake. */
  readonly ms: number;
  readonly tlsVersion: string | null;
  readonly resumed: boolean;
  /** The origin asked for a certificate. */
  readonly asked: boolean;
}

/** Writes logs and metrics, and passes events on. */
export class GatewayObserver implements Observer {
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #emit: (event: GatewayEvent) => void;

  readonly #details: ShownDetails;

  constructor(
    log: Logger,
    metrics: Metrics,
    emit: (event: GatewayEvent) => void,
    details: ShownDetails = "public",
  ) {
    this.#log = log;
    this.#metrics = metrics;
    this.#emit = emit;
    this.#details = details;
  }

  traffic(binding: GatewayBinding): BindingCounts {
    const { accountId, scriptName, bindingName, certificateId } = binding;
    const count = this.#metrics.traffic(binding);
    const lines = new LineShare();
    return {
      details: this.#details,
      answered: (status, ms) => count.answered(status, ms),
      failed: (failure, origin, ray) => {
        count.failed(failure.code);
        if (!lines.take()) return;
        this.#log[failures[failure.code].side === "worker" ? "info" : "warn"](
          { accountId, scriptName, bindingName, certificateId, origin, ray, code: failure.code },
          failure.message,
        );
        if (certificateId === NO_CERTIFICATE) return;
        this.#emit({
          kind: "failure",
          accountId,
          certificateId,
          origin,
          at: new Date().toISOString(),
          code: failure.code,
          message: failure.message,
          scriptName,
          bindingName,
          ray: ray ?? null,
        });
      },
    };
  }

  connections(binding: GatewayBinding, certificateId: string | null): ConnectionObserver {
    const { accountId, scriptName, bindingName } = binding;
    const traffic = this.traffic({ ...binding, certificateId: certificateId ?? NO_CERTIFICATE });
    return {
      details: this.#details,
      connected: (origin, credential, connection) => {
        traffic.answered(200, connection.ms);
        this.connected({ accountId, scriptName, bindingName, credential, origin }, connection);
      },
      failed: (failure, origin, ray) => traffic.failed(failure, origin, ray),
    };
  }

  connected(scope: Connected, connection: NewConnection): void {
    const { accountId, scriptName, bindingName, credential, origin } = scope;
    const { certificateId = null, version = null } = credential ?? {};
    const { tlsVersion, asked } = connection;
    this.#metrics.handshakes.inc({ result: connection.resumed ? "resumed" : "full" });
    this.#metrics.handshakeSeconds.observe(connection.ms / 1000);
    this.#log.debug(
      { accountId, scriptName, bindingName, certificateId, version, origin, ...connection },
      "connected",
    );
    if (certificateId === null || version === null) return;
    const at = new Date().toISOString();
    this.#emit({
      kind: "handshake",
      accountId,
      certificateId,
      version,
      origin,
      at,
      tlsVersion,
      asked,
    });
  }

  handshakeFailed(_: PoolScope, failure: Failure): void {
    this.#metrics.handshakes.inc({ result: failure.code });
  }
}

type Connected = Pick<PoolScope, "accountId" | "scriptName" | "bindingName" | "origin"> & {
  readonly credential: Credential | null;
};

/** Failures of one binding that are logged: 50 at once, 10 a second. Metrics count all. */
class LineShare {
  #left = 50;
  #at = performance.now();

  take(): boolean {
    const now = performance.now();
    this.#left = Math.min(50, this.#left + (now - this.#at) / 100);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
