import type { Actor } from "../../store/access/audit.ts";
import type { ScriptKey } from "../../contract/change-feed.ts";
import { Failure } from "../../failures/failures.ts";
import type { ScriptRow } from "../../store/schema.ts";
import { findScript } from "../../store/workers/scripts.ts";
import type { Database } from "../../store/database.ts";
import { findVersion, type StoredVersion } from "../../store/workers/versions.ts";
import { permits } from "../api/scopes.ts";
import { actorOf, type Caller } from "../api/auth.ts";

interface ScriptCall {
  readonly caller: Caller;
  readonly params: Readonly<Record<string, string>>;
}

/** @throws Failure `script_name_invalid` */
export function keyOf({ caller, params }: ScriptCall): ScriptKey {
  const scriptName = params["script_name"] ?? "";
  if (!/^[a-z0-9_][a-z0-9_-]{0,62}$/.test(scriptName)) {
    throw new Failure("script_name_invalid", {
      message: `"${scriptName.slice(0, 100)}" cannot be the name of a Worker`,
    });
  }
  return { accountId: caller.accountId, scriptName };
}

/** @throws Failure `script_name_invalid`, `script_not_found` */
export async function existingScript(db: Database, call: ScriptCall): Promise<ScriptRow> {
  const key = keyOf(call);
  const script = await findScript(db, key);
  if (!script) throw scriptNotFound(key.scriptName);
  return script;
}

/** @throws Failure `version_not_found` */
export async function existingVersion(
  db: Database,
  script: ScriptRow,
  id: string,
): Promise<StoredVersion> {
  const version = await findVersion(db, script.id, id);
  if (version) return version;
  throw new Failure("version_not_found", {
    message: `the Worker "${script.name}" has no version "${id.slice(0, 100)}"`,
  });
}

export function scriptNotFound(name: string): Failure {
  return new Failure("script_not_found", {
    message: `the Worker "${name}" does not exist on your account`,
  });
}

/** The caller and its client program. */
export function byOf({ caller, request }: { caller: Caller; request: Request }): By {
  const agent = request.headers.get("user-agent") ?? "";
  const actor = actorOf(caller);
  return {
    author: caller.email,
    actor,
    source: agent.startsWith("wrangler/") ? "wrangler" : "api",
    ownsKeys: permits(caller.scopes, "ssl_certs:write"),
  };
}

export interface By {
  readonly author: string;
  readonly actor: Actor;
  /** `wrangler` or `api`. */
  readonly source: string;
  /** Whether the caller may hand private keys to a Worker's process. */
  readonly ownsKeys: boolean;
}
