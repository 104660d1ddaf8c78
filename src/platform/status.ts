import type { StartedEdge } from "../edge/edge-options.ts";
import { listAccounts } from "../store/access/accounts.ts";
import { allCertificates } from "../store/certificates/certificates.ts";
import { hostsOf, listHostCertificates } from "../store/hosts/host-certificates.ts";
import { listRevocationLists } from "../store/hosts/revocation-lists.ts";
import { presentedCertificates } from "../store/hosts/presented.ts";
import type { Store } from "../store/store.ts";
import { storeSource } from "../store/change-feed.ts";
import { listWarning } from "../control/hosts/revocation-list-taking.ts";
import type { CertificateStatus, PlatformStatus } from "./admin.ts";

interface StatusSources {
  readonly store: Store;
  readonly edge: StartedEdge;
  readonly unsafeOldTls: readonly string[];
  readonly folderFailures: ReadonlyMap<string, string>;
}

/** What runs, where it answers, and which certificates exist: for `doctor` and `deploy`. */
export async function platformStatus({
  store,
  edge,
  unsafeOldTls,
  folderFailures,
}: StatusSources): Promise<PlatformStatus> {
  const { workers, ...running } = edge.status();
  const source = storeSource(store);
  return {
    ...running,
    workers: await Promise.all(
      workers.map(async (worker) => {
        const hosts = (await source.deployment(worker))?.hosts ?? [];
        return {
          ...worker,
          urls: [
            ...hosts.filter(isLocal).map((host) => `http://${host}:${edge.httpPort}/`),
            ...edge
              .portsOf(worker)
              .map((port) => (port.startsWith("/") ? `unix:${port}` : `${port}/`)),
          ],
        };
      }),
    ),
    certificates: await certificates(store),
    hostCertificates: await hostCertificates(store, folderFailures),
    originPulls: await originPulls(store),
    revocationLists: await revocationLists(store),
    unsafeOldTls,
  };
}

/** Names that lead to this machine without DNS (RFC 6761). */
function isLocal(host: string): boolean {
  return host.endsWith(".localhost");
}

async function certificates(store: Store): Promise<CertificateStatus[]> {
  const states = await allCertificates(store.db);
  return states.map(({ notAfter, warnings, ...rest }) => ({
    ...rest,
    expiresOn: notAfter,
    warnings: warnings ?? [],
  }));
}

async function hostCertificates(
  store: Store,
  failures: ReadonlyMap<string, string>,
): Promise<PlatformStatus["hostCertificates"]> {
  const accounts = await listAccounts(store.db);
  const lists = await Promise.all(accounts.map(({ id }) => listHostCertificates(store.db, id)));
  return lists.flat().map((row) => ({
    hosts: hostsOf(row),
    expiresOn: row.notAfter,
    source: row.source,
    failure: failures.get(row.id) ?? row.acmeFailure,
  }));
}

async function originPulls(store: Store): Promise<PlatformStatus["originPulls"]> {
  const accounts = await listAccounts(store.db);
  const lists = await Promise.all(accounts.map(({ id }) => presentedCertificates(store.db, id)));
  return lists
    .flat()
    .filter(({ kind, renewal }) => kind === "origin_pull" && renewal === "by hand")
    .map(({ names, notAfter }) => ({ names, expiresOn: notAfter }));
}

/** Lists with a problem. */
async function revocationLists(store: Store): Promise<PlatformStatus["revocationLists"]> {
  const accounts = await listAccounts(store.db);
  const lists = await Promise.all(accounts.map(({ id }) => listRevocationLists(store.db, id)));
  return lists.flat().flatMap((row) => {
    const warning = listWarning(row, new Date());
    const issuer = row.issuer.replaceAll("\n", ", ");
    return warning === null ? [] : [{ id: row.id, url: row.url, issuer, warning }];
  });
}
