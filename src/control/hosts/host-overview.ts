import { z } from "@hono/zod-openapi";
import { hostPattern } from "../../network/host-pattern.ts";
import { isForHost, parseRoute } from "../../network/patterns.ts";
import { listAccess } from "../../store/access/access.ts";
import { findAccount } from "../../store/access/accounts.ts";
import { hostsOfScript } from "../../store/change-feed.ts";
import type { Database } from "../../store/database.ts";
import { hostsOf, listHostCertificates } from "../../store/hosts/host-certificates.ts";
import { originsOfAccount } from "../../store/certificates/origins.ts";
import { listHostRules } from "../../store/hosts/host-clients.ts";
import { nearest } from "../../store/nearest.ts";
import { listRevocationLists } from "../../store/hosts/revocation-lists.ts";
import { listRoutes } from "../../store/workers/routes.ts";
import { listScripts } from "../../store/workers/scripts.ts";
import type { HostCertificateRow } from "../../store/schema.ts";
import type { ControlContext } from "../api/context.ts";
import { endpoint, type Endpoint } from "../api/endpoint.ts";
import { list } from "../api/envelope.ts";
import { shownHostCertificate } from "../routing/custom-certificates.ts";
import { shownKnown } from "./host-origins.ts";
import { shownList } from "./revocation-lists.ts";

/** Each host's state: who answers, what it presents, what it requires of its clients. */
export function hostOverviewEndpoints({ store, clock }: ControlContext): readonly Endpoint[] {
  return [
    endpoint(
      {
        method: "get",
        path: "/accounts/{account_id}/countersign/hosts",
        summary:
          "Every host of which something was said, or one host, by its own name or a wildcard",
        scope: "ssl_certs:read",
        query: z.object({ host: hostPattern.optional() }),
      },
      async ({ caller: { accountId }, query: { host } }) => {
        const known = await knownOf(store.db, accountId, clock());
        const names = host === undefined ? namesIn(known) : [host];
        return list(names, (name) => describe(known, name));
      },
    ),
  ];
}

/** Parsed once: every host is compared with every route. */
function matcherOf(pattern: string): { readonly isFor: (host: string) => boolean } {
  const [itself] = pattern.split("/");
  const rule = parseRoute(pattern).host;
  return { isFor: (host) => itself === host || isForHost(rule, host) };
}

type Known = Awaited<ReturnType<typeof knownOf>>;

async function knownOf(db: Database, accountId: string, now: Date) {
  const routes = (await listRoutes(db, accountId)).map(({ pattern, scriptName }) => ({
    ...matcherOf(pattern),
    pattern,
    scriptName,
  }));
  const account = await findAccount(db, accountId);
  const scripts = account === undefined ? [] : await listScripts(db, accountId);
  /** The names that each Worker has without a route. */
  const own = scripts.flatMap((script) =>
    hostsOfScript(account!, script).map((pattern) => ({ script: script.name, pattern })),
  );
  const certificates = new Map<string, HostCertificateRow>();
  for (const row of await listHostCertificates(db, accountId)) {
    for (const host of hostsOf(row)) {
      if (!certificates.has(host)) certificates.set(host, row);
    }
  }
  const rules = (await listHostRules(db, accountId)).map(
    ({ host, mode, authorities, forward }) =>
      [host, { mode, authorities, forward: forward === 1 }] as const,
  );
  const applications = (await listAccess(db, "accessApplications", accountId)).flatMap((row) =>
    row.domains.map((domain) => ({ ...matcherOf(domain), name: row.name, domain })),
  );
  const origins = await Promise.all(
    (await originsOfAccount(db, accountId)).map(
      async (origin) => [origin.host, await shownKnown(db, accountId, origin)] as const,
    ),
  );
  const lists = (await listRevocationLists(db, accountId)).map((row) => shownList(row, now));
  return {
    routes,
    own,
    certificates,
    lists,
    clients: new Map(rules),
    applications,
    origins: new Map(origins),
  };
}

function namesIn({
  routes,
  certificates,
  clients,
  applications,
  origins,
}: Known): readonly string[] {
  const named = [...routes.map(({ pattern }) => pattern), ...applications.map((one) => one.domain)];
  const hosts = named.map((pattern) => pattern.split("/")[0] ?? "").filter((host) => host !== "*");
  return [
    ...new Set([...hosts, ...certificates.keys(), ...clients.keys(), ...origins.keys()]),
  ].toSorted();
}

function describe(known: Known, host: string): object {
  const { routes, own, certificates, clients, applications, origins, lists } = known;
  const rules = nearest(clients, host);
  const presented = nearest(certificates, host);
  return {
    host,
    workers: [
      ...routes
        .filter(({ isFor }) => isFor(host))
        .map(({ pattern, scriptName }) => ({ script: scriptName, pattern })),
      ...own.filter(({ pattern }) => pattern === host),
    ],
    origin: nearest(origins, host),
    certificate: presented && shownHostCertificate(presented),
    certificate_source: presented && presented.source,
    certificate_warning: presented && presented.acmeFailure,
    clients: rules ?? { mode: "off", authorities: [], forward: false },
    // Lists count at every host that asks for certificates.
    revocation_lists: rules === null ? [] : lists,
    access: applications
      .filter(({ isFor }) => isFor(host))
      .map(({ name, domain }) => ({ name, domain })),
  };
}
