import { workflowsOf } from "./workflows.ts";
import type { ScriptKey, VersionPreview, WorkerVersion } from "../../contract/change-feed.ts";
import { findAccount } from "../access/accounts.ts";
import type { Database } from "../database.ts";
import type { AccountRow, ScriptRow } from "../schema.ts";
import { currentDeployment } from "./deployments.ts";
import { namespacesOf } from "./object-namespaces.ts";
import { findScript } from "./scripts.ts";
import { findVersion, workerVersion } from "./versions.ts";

/** What an upload calls the host that is to lead to its newest version of that name. */
export const ALIAS = "workers/alias";

/**
 * Whether versions of a script answer at hosts of their own. One that keeps Durable Objects has none,
 * as on Cloudflare: a second process would write to the same objects.
 */
export async function hasPreviews(db: Database, script: ScriptRow): Promise<boolean> {
  if (script.previews !== 1) return false;
  if ((await namespacesOf(db, script.id)).length > 0) return false;
  if ((await workflowsOf(db, script.id)).length > 0) return false;
  return (await currentDeployment(db, script.id)) !== null;
}

/** By version, newest first: the hosts that lead to it alone. */
export async function previewsOf(db: Database, script: ScriptRow): Promise<VersionPreview[]> {
  if (!(await hasPreviews(db, script))) return [];
  const account = await findAccount(db, script.accountId);
  if (!account) return [];
  const versions = await db
    .selectFrom("scriptVersions")
    .select(["id", "annotations"])
    .where("scriptId", "=", script.id)
    .orderBy("number", "desc")
    .execute();
  const taken = new Map<string, string>();
  const claim = (label: string, versionId: string): void => {
    if (!taken.has(label)) taken.set(label, versionId);
  };
  // A version's own name goes before an alias that looks like one; among equals the newest has it.
  for (const { id } of versions) claim(id.slice(0, 8), id);
  for (const { id, annotations } of versions) {
    const alias = annotations[ALIAS];
    if (alias !== undefined) claim(alias, id);
  }
  const previews = new Map<string, string[]>();
  for (const [label, versionId] of taken) {
    const hosts = hostsOf(account, label, script.name);
    previews.set(versionId, [...(previews.get(versionId) ?? []), ...hosts]);
  }
  return [...previews].map(([versionId, hosts]) => ({ versionId, hosts }));
}

/**
 * What runs at such a host. The platform calls it for no event, and what it presents comes from the
 * gateway: what its script presents in its own process changes with the script's deployments.
 */
export async function previewVersion(
  db: Database,
  key: ScriptKey,
  versionId: string,
): Promise<WorkerVersion | null> {
  const script = await findScript(db, key);
  if (!script || !(await hasPreviews(db, script))) return null;
  const version = await findVersion(db, script.id, versionId);
  if (!version) return null;
  const runs = await workerVersion(db, script, version);
  return { ...runs, bindings: version.bindings, takesEvents: false };
}

/** What follows a version's label: `-shop.first.workers.dev`. Null: the account has no subdomain. */
export function previewSuffix(
  account: Pick<AccountRow, "subdomain"> | undefined,
  scriptName: string,
): string | null {
  if (!account?.subdomain) return null;
  return `-${scriptName.toLowerCase()}.${account.subdomain}.workers.dev`;
}

/** A name beyond what DNS takes is no host. */
function hostsOf(
  account: Pick<AccountRow, "subdomain" | "shortHosts">,
  label: string,
  scriptName: string,
): readonly string[] {
  const name = `${label}-${scriptName.toLowerCase()}`;
  if (name.length > 63) return [];
  const hosts = account.shortHosts === 1 ? [`${name}.localhost`] : [];
  if (account.subdomain === null) return hosts;
  return [
    ...hosts,
    `${name}.${account.subdomain}.localhost`,
    `${name}.${account.subdomain}.workers.dev`,
  ];
}
