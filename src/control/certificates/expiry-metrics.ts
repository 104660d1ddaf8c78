import { Gauge, Registry } from "prom-client";
import { listCertificates } from "../../store/certificates.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";

/** What Prometheus reads of the certificates that are stored, whether a gateway has them or not. */
export function metricsEndpoints({ store }: ControlContext): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/countersign/metrics",
        summary: "The end of each certificate and CA, as Prometheus reads it",
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
        const headers = { "content-type": registry.contentType };
        return new Response(await registry.metrics(), { headers });
      },
    ),
  ];
}
