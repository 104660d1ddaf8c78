import { Gauge, Registry } from "prom-client";
import type { WorkerStatus } from "../../contract/edge.ts";
import { listCertificates } from "../../store/certificates/certificates.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";

/** Metrics about all stored certificates, even if no gateway has them. */
export function metricsEndpoints({ store, edge }: ControlContext): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/countersign/metrics",
        summary:
          "The end of each certificate and CA, and how each Worker runs, as Prometheus reads it",
        scope: "ssl_certs:read",
      },
      async ({ caller: { accountId } }) => {
        const registry = new Registry();
        const ends = new Gauge({
          name: "countersign_stored_certificate_expiry_timestamp_seconds",
          help: "The end of the active version of each certificate and CA that is not revoked",
          labelNames: ["account", "certificate", "name", "ca", "version"],
          registers: [registry],
        });
        for (const { id, name, ca, active } of await listCertificates(store.db, accountId)) {
          if (active.revokedOn !== null) continue;
          const { version, notAfter } = active;
          ends.set(
            { account: accountId, certificate: id, name: name ?? "", ca, version },
            Date.parse(notAfter) / 1000,
          );
        }
        const workers = edge.status?.().workers ?? [];
        addWorkers(
          registry,
          workers.filter((worker) => worker.accountId === accountId),
        );
        const headers = { "content-type": registry.contentType };
        return new Response(await registry.metrics(), { headers });
      },
    ),
  ];
}

/** One value for each process of a Worker. */
function addWorkers(registry: Registry, workers: readonly WorkerStatus[]): void {
  const labelNames = ["account", "script", "version", "process"] as const;
  const registers = [registry];
  const memory = new Gauge({
    name: "countersign_worker_memory_bytes",
    help: "The RAM that a process of a Worker holds",
    labelNames,
    registers,
  });
  const restarts = new Gauge({
    name: "countersign_worker_restarts",
    help: "How often a process of a Worker was started again, and what ended it the last time",
    labelNames: [...labelNames, "why"],
    registers,
  });
  for (const [index, worker] of workers.entries()) {
    const { accountId: account, scriptName: script, versionId: version } = worker;
    const labels = { account, script, version, process: index };
    if (worker.memory !== null) memory.set(labels, worker.memory);
    restarts.set({ ...labels, why: whyEnded(worker.lastExit) }, worker.restarts);
  }
}

function whyEnded(lastExit: string | null): string {
  if (lastExit === null) return "";
  return /^it exceeded its (memory|CPU) limit/.exec(lastExit)?.[1]?.toLowerCase() ?? "other";
}
