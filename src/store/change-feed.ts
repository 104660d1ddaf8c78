import { keyPlace } from "../keys/places.ts";
import type {
  AccountTrust,
  Change,
  Deployment,
  CertificateVersion,
  ScriptKey,
  Snapshot,
  Source,
} from "../contract/change-feed.ts";
import { challengesOf } from "./hosts/acme.ts";
import { accountAccess } from "./access/access.ts";
import { findAccount, listAccounts } from "./access/accounts.ts";
import {
  accountAuthorities,
  authoritiesOfCertificate,
  authoritiesOfHosts,
  spiffeAuthorities,
} from "./authorities.ts";
import { revokedVersions } from "./certificates/certificate-versions.ts";
import { findCertificate, listCertificates } from "./certificates/certificates.ts";
import { changesAfter, newestCursor } from "./changes.ts";
import { databaseConfig, listHyperdrive } from "./hyperdrive.ts";
import { currentDeployment } from "./workers/deployments.ts";
import { queuesOfAccount } from "./workers/queues.ts";
import { listPullCertificates, pullCertificate } from "./hosts/origin-pulls.ts";
import { originsOfAccount, routedHosts } from "./certificates/origins.ts";
import { revocationsOfAccount } from "./hosts/host-clients.ts";
import { hostsOfAccount } from "./hosts/hosts.ts";
import { listProxiedZones } from "./hosts/proxied-zones.ts";
import { zoneRules } from "./hosts/zone-settings.ts";
import { previewsOf, previewVersion } from "./workers/previews.ts";
import { routesOfScript } from "./workers/routes.ts";
import type { AccountRow, ScriptRow } from "./schema.ts";
import { findScript, listScripts } from "./workers/scripts.ts";
import type { Database } from "./database.ts";
import type { Store } from "./store.ts";
import { findVersion, workerVersion } from "./workers/versions.ts";

const CHANGES_AT_ONCE = 100;

/** What an edge follows, read from the store. */
export function storeSource(store: Store): Source {
  const { db } = store;
  return {
    snapshot: () => db.transaction().execute((transaction) => snapshot(transaction)),
    changes: (cursor, signal) => follow(store, cursor, signal),
    deployment: (key) => db.transaction().execute((transaction) => deployment(transaction, key)),
    preview: (key, versionId) => db.transaction().execute((t) => previewVersion(t, key, versionId)),
    certificate: (accountId, certificateId) =>
      db.transaction().execute((t) => certificate(t, accountId, certificateId)),
    database: (accountId, id) => db.transaction().execute((t) => databaseConfig(t, accountId, id)),
    revocations: (accountId) => db.transaction().execute((t) => revocationsOfAccount(t, accountId)),
    hosts: (accountId) => db.transaction().execute((t) => hostsOfAccount(t, accountId)),
    zones: (accountId) => db.transaction().execute((t) => zoneRules(t, accountId)),
    challenges: (accountId) => challengesOf(db, accountId),
    queues: (accountId) => db.transaction().execute((t) => queuesOfAccount(t, accountId)),
    origins: (accountId) => db.transaction().execute((t) => originsOfAccount(t, accountId)),
    routedHosts: (key) => db.transaction().execute((t) => routedHosts(t, key)),
    trust: (accountId) => db.transaction().execute((t) => trust(t, accountId)),
    access: (accountId) => db.transaction().execute((t) => accountAccess(t, accountId)),
  };
}

async function snapshot(db: Database): Promise<Snapshot> {
  const accounts = (await listAccounts(db)).map(({ id }) => id);
  const scripts: ScriptKey[] = [];
  const certificates: Snapshot["certificates"][number][] = [];
  const databases: Snapshot["databases"][number][] = [];
  for (const accountId of accounts) {
    const names = await listScripts(db, accountId);
    scripts.push(...names.map(({ name }) => ({ accountId, scriptName: name })));
    const leaves = await listCertificates(db, accountId, { ca: false });
    certificates.push(...leaves.map(({ id }) => ({ accountId, certificateId: id })));
    const pulls = await listPullCertificates(db, accountId);
    certificates.push(...pulls.map(({ id }) => ({ accountId, certificateId: id })));
    const configs = await listHyperdrive(db, accountId);
    databases.push(...configs.map(({ id }) => ({ accountId, databaseId: id })));
  }
  return { cursor: await newestCursor(db), scripts, certificates, databases, accounts };
}

async function* follow(store: Store, start: number, signal: AbortSignal): AsyncGenerator<Change> {
  let cursor = start;
  while (!signal.aborted) {
    // Asked for before the read, so that a commit between the two is not missed.
    const wait = new AbortController();
    const committed = store.committed(AbortSignal.any([signal, wait.signal]));
    try {
      const changes = await changesAfter(store.db, cursor, CHANGES_AT_ONCE);
      for (const change of changes) {
        if (signal.aborted) return;
        yield change;
        cursor = change.cursor;
      }
      if (changes.length < CHANGES_AT_ONCE) await committed;
    } finally {
      wait.abort();
    }
  }
}

async function deployment(db: Database, key: ScriptKey): Promise<Deployment | null> {
  const script = await findScript(db, key);
  const current = script && (await currentDeployment(db, script.id));
  if (!current) return null;
  const versions: Deployment["versions"][number][] = [];
  for (const { versionId, percentage } of current.versions) {
    const version = await findVersion(db, script.id, versionId);
    if (version) versions.push({ version: await workerVersion(db, script, version), percentage });
  }
  const previews = await previewsOf(db, script);
  return { ...key, versions, ...(await reachedAt(db, script)), previews };
}

/** What leads to a script. */
export async function reachedAt(
  db: Database,
  script: ScriptRow,
): Promise<Pick<Deployment, "hosts" | "routes">> {
  const account = await findAccount(db, script.accountId);
  const routes = await routesOfScript(db, script.id);
  const patterns = (kind: string) => routes.filter((r) => r.kind === kind).map((r) => r.pattern);
  return {
    hosts: [...(account ? hostsOfScript(account, script) : []), ...patterns("custom_domain")],
    routes: patterns("route"),
  };
}

/**
 * Names under `localhost` lead to every script: the ingress keeps them to clients on its own
 * machine. The workers.dev name is the world's, where it was switched on.
 */
export function hostsOfScript(account: AccountRow, script: ScriptRow): string[] {
  const name = script.name.toLowerCase();
  const hosts = account.shortHosts === 1 ? [`${name}.localhost`] : [];
  if (account.subdomain === null) return hosts;
  hosts.push(`${name}.${account.subdomain}.localhost`);
  if (script.workersDev === 1) hosts.push(`${name}.${account.subdomain}.workers.dev`);
  return hosts;
}

async function certificate(
  db: Database,
  accountId: string,
  certificateId: string,
): Promise<CertificateVersion | null> {
  const stored = await findCertificate(db, accountId, certificateId);
  if (!stored) return pullCertificate(db, accountId, certificateId);
  const { name, allowedHosts, active } = stored;
  if (active.sealedKey === null) return null;
  const pinned = await authoritiesOfCertificate(db, certificateId);
  return {
    accountId,
    certificateId,
    name,
    version: active.version,
    chain: active.chain,
    sealedKey: active.sealedKey,
    // The place follows from the row's position, not from its content, so a key that was moved
    // there does not open.
    sealedId: keyPlace(active).id,
    allowedHosts: allowedHosts,
    trust: pinned.length > 0 ? pinned : null,
    revokedOn: active.revokedOn,
    revokedVersions: await revokedVersions(db, certificateId),
  };
}

async function trust(db: Database, accountId: string): Promise<AccountTrust> {
  const spiffe = await spiffeAuthorities(db, accountId);
  return {
    authorities: await accountAuthorities(db, accountId),
    hosts: await authoritiesOfHosts(db, accountId),
    ...(Object.keys(spiffe).length > 0 && { spiffe }),
    proxied: (await listProxiedZones(db, accountId)).flatMap((zone) => [zone, `*.${zone}`]),
  };
}
