import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";
import type { Credential } from "../../certificates/credential.ts";
import type { GatewayBinding } from "../../contract/gateway.ts";
import type { OriginPool } from "../origin/pool.ts";

/** Read when the metrics are asked for. */
export interface MeteredState {
  pools(): readonly OriginPool[];
  credentials(): readonly Credential[];
  /** What open connections to databases present. */
  sessions(): readonly { readonly credential: Credential | null }[];
}

export interface BindingMetrics {
  answered(status: number, ms: number): void;
  failed(code: string): void;
}

/** What Prometheus reads. */
export class Metrics {
  readonly registry: Registry = new Registry();
  readonly handshakes: Counter<"result">;
  readonly handshakeSeconds: Histogram;
  readonly #requests: Counter<BindingLabel | "status">;
  readonly #failures: Counter<BindingLabel | "code">;
  readonly #seconds: Histogram<BindingLabel>;

  constructor(state: MeteredState) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: "countersign_gateway_" });
    this.handshakes = new Counter({
      name: "countersign_handshakes_total",
      help: "TLS handshakes with origins, by result: full, resumed, or a failure's code",
      labelNames: ["result"],
      registers,
    });
    this.handshakeSeconds = new Histogram({
      name: "countersign_connect_seconds",
      help: "From resolving an origin's name to the end of its handshake",
      buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers,
    });
    this.#requests = new Counter({
      name: "countersign_requests_total",
      help: "Requests that an origin answered, by class of status",
      labelNames: [...bindingLabels, "status"],
      registers,
    });
    this.#failures = new Counter({
      name: "countersign_failures_total",
      help: "Requests that failed on their way to an origin, by code",
      labelNames: [...bindingLabels, "code"],
      registers,
    });
    this.#seconds = new Histogram({
      name: "countersign_request_seconds",
      help: "From a request's header to its response's",
      labelNames: bindingLabels,
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 100],
      registers,
    });
    meterConnections(registers, state);
    meterCertificates(registers, state);
  }

  traffic(binding: GatewayBinding): BindingMetrics {
    const labels = {
      account: binding.accountId,
      script: binding.scriptName,
      binding: binding.bindingName,
    };
    const seconds = this.#seconds.labels(labels);
    const byClass = [1, 2, 3, 4, 5].map((first) =>
      this.#requests.labels({ ...labels, status: `${first}xx` }),
    );
    return {
      answered: (status, ms) => {
        byClass[Math.floor(status / 100) - 1]?.inc();
        seconds.observe(ms / 1000);
      },
      failed: (code) => this.#failures.inc({ ...labels, code }),
    };
  }
}

type BindingLabel = "account" | "script" | "binding";
const bindingLabels: BindingLabel[] = ["account", "script", "binding"];

function meterConnections(registers: Registry[], state: MeteredState): void {
  // oxlint-disable-next-line no-new
  new Gauge({
    name: "countersign_connections",
    help: "Open connections to origins, by the certificate version they were opened with",
    labelNames: ["account", "certificate", "version", "fingerprint"],
    registers,
    collect() {
      this.reset();
      for (const { scope, connections } of state.pools()) {
        if (scope.credential === null) continue;
        const { accountId, certificateId, version, fingerprint } = scope.credential;
        this.inc(
          { account: accountId, certificate: certificateId, version, fingerprint },
          connections,
        );
      }
      for (const { credential } of state.sessions()) {
        if (credential === null) continue;
        const { accountId, certificateId, version, fingerprint } = credential;
        this.inc({ account: accountId, certificate: certificateId, version, fingerprint }, 1);
      }
    },
  });
}

function meterCertificates(registers: Registry[], state: MeteredState): void {
  // oxlint-disable-next-line no-new
  new Gauge({
    name: "countersign_certificate_expiry_timestamp_seconds",
    help: "The end of each certificate's active version, with its fingerprint as it is stored",
    // Every gateway process has all of them.
    aggregator: "max",
    labelNames: ["account", "certificate", "version", "fingerprint"],
    registers,
    collect() {
      this.reset();
      for (const credential of state.credentials()) {
        const { accountId, certificateId, version, fingerprint, notAfter } = credential;
        this.set(
          { account: accountId, certificate: certificateId, version, fingerprint },
          notAfter / 1000,
        );
      }
    },
  });
}
