import { Hono } from "hono";
import type { KeyIntake } from "../certificates/key-intake.ts";
import { TRUST_DOMAIN } from "../contract/identity.ts";
import { intakeHere } from "../certificates/upload-text.ts";
import { Failure } from "../failures/failures.ts";
import { accessEndpoints } from "./hosts/access-endpoints.ts";
import { accountEndpoints } from "./access/accounts.ts";
import { auditEndpoints } from "./access/audit-endpoints.ts";
import { neighbourhood } from "../network/ranges.ts";
import { authenticate, authorize, nobody, type Identity } from "./api/auth.ts";
import { authorityEndpoints } from "./certificates/authorities.ts";
import { bindingModeEndpoints } from "./workers/binding-modes.ts";
import { certificateEndpoints } from "./certificates/certificates.ts";
import { type ControlContext, type ControlLimits, defaultControlLimits } from "./api/context.ts";
import { deploymentEndpoints } from "./workers/deployments.ts";
import { dnsRecordEndpoints } from "./routing/dns-records.ts";
import { globalPullEndpoints } from "./routing/global-pull-endpoints.ts";
import { originPullEndpoints } from "./routing/origin-pulls.ts";
import { domainEndpoints } from "./routing/domains.ts";
import { BodyShares, heldUntilSent } from "./api/body-shares.ts";
import type { Endpoint } from "./api/endpoint.ts";
import { failure, success } from "./api/envelope.ts";
import { metricsEndpoints } from "./certificates/expiry-metrics.ts";
import { ownEndpoints } from "./access/own-sign-in.ts";
import { openApiDocument } from "./api/openapi.ts";
import { proxiedZoneEndpoints } from "./routing/proxied-zones.ts";
import { clientCertificateEndpoints } from "./hosts/client-certificates.ts";
import { revocationListEndpoints } from "./hosts/revocation-lists.ts";
import { clientRevocationEndpoints } from "./hosts/client-revocations.ts";
import { hostRuleEndpoints } from "./hosts/host-rules.ts";
import { hostOriginEndpoints } from "./hosts/host-origins.ts";
import { hostOverviewEndpoints } from "./hosts/host-overview.ts";
import { Identities } from "../identity/identities.ts";
import { identityAuthorityEndpoints } from "./identity/identity-authorities.ts";
import { identityEndpoints } from "./identity/identity-endpoints.ts";
import { issuedEndpoints } from "./identity/issued.ts";
import { policyEndpoints } from "./identity/origin-policies.ts";
import { identitySettingsEndpoints } from "./identity/identity-settings.ts";
import { d1Endpoints } from "./storage/d1.ts";
import { kvEndpoints } from "./storage/kv.ts";
import { usageEndpoints } from "./storage/metrics.ts";
import { queueEndpoints } from "./storage/queues.ts";
import { r2Endpoints } from "./storage/r2.ts";
import { Transfers } from "./storage/transfers.ts";
import { publishedIdentities } from "./identity/published.ts";
import { Publisher } from "./workers/publisher.ts";
import { rotationEndpoints } from "./certificates/version-endpoints.ts";
import { customCertificateEndpoints } from "./routing/custom-certificates.ts";
import { acmeEndpoints } from "./routing/acme-endpoints.ts";
import { zoneEndpoints } from "./routing/zone-endpoints.ts";
import { zoneSettingEndpoints } from "./routing/zone-settings.ts";
import { routeEndpoints } from "./routing/routes.ts";
import { scriptChangeEndpoints } from "./workers/scripts/script-changes.ts";
import { workerVersionEndpoints } from "./workers/worker-versions.ts";
import { workerEndpoints } from "./workers/workers.ts";
import { assetEndpoints } from "./workers/assets/assets.ts";
import { workflowEndpoints } from "./workers/workflows/workflows.ts";
import { instanceEndpoints } from "./workers/workflows/instances.ts";
import { unknownEndpoint } from "./api/unknown-endpoint.ts";
import { objectEndpoints } from "./workers/objects.ts";
import { scriptEndpoints } from "./workers/scripts/scripts.ts";
import { scriptUploadEndpoints } from "./workers/scripts/upload-endpoint.ts";
import { scheduleEndpoints } from "./workers/cron/schedules.ts";
import { secretEndpoints } from "./workers/secrets.ts";
import { serviceEndpoints } from "./workers/services.ts";
import { type ClientBindings, remoteAddress } from "./api/remote-address.ts";
import { subdomainEndpoints } from "./routing/subdomains.ts";
import { hyperdriveEndpoints } from "./databases/hyperdrive.ts";
import { Throttle } from "../network/throttle.ts";
import { tokenEndpoints } from "./access/tokens.ts";
import { logEndpoints } from "./workers/logs.ts";
import { versionEndpoints } from "./workers/versions.ts";
import { webhookEndpoints } from "./certificates/webhook.ts";

export type ControlOptions = Omit<ControlContext, "limits" | "intake" | "bodies"> & {
  /** Default: an intake in this process, which then sees keys. */
  readonly intake?: KeyIntake;
  readonly limits?: Partial<ControlLimits>;
  /** Issues identities to Workers. Default: in the trust domain `countersign.internal`. */
  readonly identities?: Identities;
};

const BASE = "/client/v4";

/** The control plane: Cloudflare's v4 API over the store. It opens no socket itself. */
export function createControl(options: ControlOptions): Hono {
  const context: ControlContext = {
    ...options,
    intake: options.intake ?? intakeHere,
    limits: { ...defaultControlLimits, ...options.limits },
    bodies: new BodyShares(),
  };
  const { store, keyring, clock } = context;
  const identities =
    options.identities ?? new Identities({ store, keyring, clock, trustDomain: TRUST_DOMAIN });
  const transfers = new Transfers();
  const endpoints = allEndpoints(context, identities, transfers);
  const identify = identifier(context);
  const app = new Hono();
  app.route("/", publishedIdentities(context, identities));
  app.route("/", transfers.app(context));
  for (const endpoint of endpoints) {
    app.on(endpoint.method, BASE + toHono(endpoint.path), async (c) => {
      const request = c.req.raw;
      const params = c.req.param() as Record<string, string>;
      const address = remoteAddress(c);
      const caller =
        endpoint.sessionToken === true
          ? nobody(address, params["account_id"] ?? "")
          : authorize(await identify(request, address), endpoint.scope, params["account_id"]);
      const { incoming = null, outgoing } = (c.env ?? {}) as Partial<ClientBindings>;
      const { limits, intake, bodies } = context;
      using held = bodies.open(caller.accountId);
      const call = { request, incoming, intake, caller, params, limits, held };
      const answer = await endpoint.run(call);
      if (answer instanceof Response) return answer;
      return success(answer, (bytes) =>
        heldUntilSent(bodies.open(caller.accountId), bytes, outgoing),
      );
    });
  }
  // Made at the first request, once, because it takes a third of the time of a start.
  let document: string | null = null;
  app.get(`${BASE}/openapi.json`, (c) => {
    document ??= JSON.stringify(openApiDocument(endpoints, BASE));
    return c.body(document, 200, { "content-type": "application/json" });
  });
  app.notFound((c) => failure(notFound(endpoints, c.req.method, c.req.path), context.log));
  app.onError((error) => failure(error, context.log));
  return app;
}

/**
 * Authenticates requests. An address that sends wrong tokens waits longer and longer; a right token from the same
 * address does not wait.
 */
function identifier({
  store,
  keyring,
  clock,
  limits,
}: ControlContext): (request: Request, address: string | null) => Promise<Identity> {
  const failed = new Throttle({ burst: limits.failedTries, everyMs: 1000 });
  return async (request, address) => {
    const header = request.headers.get("authorization");
    try {
      return await authenticate(header, { address, store, keyring, now: clock() });
    } catch (error) {
      if (error instanceof Failure && error.code === "token_invalid") {
        await failed.failed(neighbourhood(address ?? ""));
      }
      throw error;
    }
  };
}

/** In the order in which they match. */
export function allEndpoints(
  context: ControlContext,
  identities: Identities,
  transfers: Transfers,
): readonly Endpoint[] {
  const publisher = new Publisher(context);
  return [
    ...accountEndpoints(context),
    ...ownEndpoints(context),
    ...tokenEndpoints(context),
    ...auditEndpoints(context),
    ...certificateEndpoints(context),
    ...rotationEndpoints(context),
    ...authorityEndpoints(context),
    ...webhookEndpoints(context),
    ...metricsEndpoints(context),
    ...hostRuleEndpoints(context),
    ...hostOverviewEndpoints(context),
    ...hostOriginEndpoints(context),
    ...clientRevocationEndpoints(context),
    ...revocationListEndpoints(context),
    ...clientCertificateEndpoints(context, identities),
    ...identityEndpoints(context, identities),
    ...identityAuthorityEndpoints(context, identities),
    ...identitySettingsEndpoints(context),
    ...issuedEndpoints(context, identities),
    ...policyEndpoints(context, identities),
    ...scriptEndpoints(context, publisher),
    ...assetEndpoints(context),
    ...scriptUploadEndpoints(context, publisher),
    ...scriptChangeEndpoints(context, publisher),
    ...serviceEndpoints(context, publisher),
    ...workerEndpoints(context, publisher),
    ...scheduleEndpoints(context),
    ...workflowEndpoints(context, publisher),
    ...instanceEndpoints(context),
    ...secretEndpoints(context, publisher),
    ...workerVersionEndpoints(context, publisher),
    ...versionEndpoints(context),
    ...deploymentEndpoints(context, publisher),
    ...accessEndpoints(context),
    ...subdomainEndpoints(context),
    ...routeEndpoints(context),
    ...zoneEndpoints(context),
    ...dnsRecordEndpoints(context),
    ...originPullEndpoints(context),
    ...globalPullEndpoints(context),
    // After the endpoints for settings with their own path, because the first match counts.
    ...zoneSettingEndpoints(context),
    ...customCertificateEndpoints(context),
    ...acmeEndpoints(context),
    ...proxiedZoneEndpoints(context),
    ...domainEndpoints(context),
    ...bindingModeEndpoints(context, publisher),
    ...hyperdriveEndpoints(context),
    ...logEndpoints(context),
    ...kvEndpoints(context),
    ...d1Endpoints(context, transfers),
    ...queueEndpoints(context),
    ...r2Endpoints(context),
    ...usageEndpoints(),
    ...objectEndpoints(context),
  ];
}

function toHono(path: string): string {
  // The key of an object may contain slashes, which wrangler does not encode.
  return path.replaceAll(/\{(\w+)\}/g, ":$1").replace(":object_key", ":object_key{.+}");
}

function notFound(endpoints: readonly Endpoint[], method: string, path: string): Failure {
  const matches = endpoints.filter((endpoint) =>
    new RegExp(`^${BASE}${endpoint.path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path),
  );
  // The path arrives decoded. Control characters, which could start a new line or move a terminal's cursor, are shown
  // encoded.
  const shown = path.slice(0, 200).replaceAll(/\p{Cc}/gu, encodeURIComponent);
  if (matches.length === 0) return unknownEndpoint(path.slice(BASE.length), shown);
  return new Failure("method_not_allowed", { message: `"${shown}" does not take ${method}` });
}
