import type { ScriptKey } from "../contract/change-feed.ts";
import { Failure } from "../failures/failures.ts";
import { portRefusal } from "../network/own-port.ts";
import { listAccess } from "../store/access/access.ts";
import { findAccount } from "../store/access/accounts.ts";
import { reachedAt } from "../store/change-feed.ts";
import type { Changed, Database } from "../store/database.ts";
import { currentDeployment } from "../store/workers/deployments.ts";
import { listHostRules } from "../store/hosts/host-clients.ts";
import { namespacesOf } from "../store/workers/object-namespaces.ts";
import { findScript } from "../store/workers/scripts.ts";
import type { Store } from "../store/store.ts";

/**
 * A store that refuses, as a whole, every change that a Worker's own port does not allow.
 * @throws Failure `account_not_found`; `worker_port_refused` if the store already contains such a state
 */
export async function guardOwnPorts(store: Store, scripts: readonly ScriptKey[]): Promise<Store> {
  if (scripts.length === 0) return store;
  for (const { accountId } of scripts) {
    if (await findAccount(store.db, accountId)) continue;
    throw new Failure("account_not_found", { message: `there is no account "${accountId}"` });
  }
  await assertOwnPorts(store.db, scripts);
  return {
    ...store,
    write: (work, options) =>
      store.write(async ({ db, changed }) => {
        let isConcerned = false;
        const done = await work({
          db,
          changed: (change) => {
            isConcerned ||= CONCERNED.has(change.kind);
            return changed(change);
          },
        });
        if (isConcerned) await assertOwnPorts(db, scripts);
        return done;
      }, options),
  };
}

/** The kinds of changes that the check depends on. */
const CONCERNED: ReadonlySet<Changed["kind"]> = new Set(["script", "hosts", "access"]);

async function assertOwnPorts(db: Database, scripts: readonly ScriptKey[]): Promise<void> {
  for (const key of scripts) {
    const reason = await reasonAgainst(db, key);
    if (reason === null) continue;
    throw new Failure("worker_port_refused", {
      message: `the Worker "${key.scriptName}" has a port of its own, and ${reason}`,
      facts: { script: key.scriptName, reason },
    });
  }
}

/** The edge closes the port for the same reasons. */
async function reasonAgainst(db: Database, key: ScriptKey): Promise<string | null> {
  const script = await findScript(db, key);
  const current = script && (await currentDeployment(db, script.id));
  if (!current) return null;
  const [kept] = await namespacesOf(db, script.id);
  const { hosts, routes } = await reachedAt(db, script);
  const applications = await listAccess(db, "accessApplications", key.accountId);
  return portRefusal({
    versions: current.versions.length,
    objects: kept ? `the Durable Objects of its class "${kept.className}"` : null,
    reachedAt: [...hosts, ...routes],
    accessDomains: applications.flatMap(({ domains }) => domains),
    askingHosts: (await listHostRules(db, key.accountId)).map(({ host }) => host),
  });
}
