import { randomBytes } from "node:crypto";
import { assertRoom } from "../api/room.ts";
import type { ScriptKey } from "../../contract/change-feed.ts";
import { type StoredDeployment, currentDeployment } from "../../store/workers/deployments.ts";
import type { ScriptRow } from "../../store/schema.ts";
import { findScript, insertScript } from "../../store/workers/scripts.ts";
import type { Database } from "../../store/database.ts";
import { type StoredVersion, newestVersion } from "../../store/workers/versions.ts";

/** The script's state before the change; null and null for a new script. */
export interface Before {
  readonly script: ScriptRow | null;
  readonly newest: StoredVersion | null;
  readonly current: StoredDeployment | null;
}

export async function readBefore(db: Database, key: ScriptKey): Promise<Before> {
  const script = (await findScript(db, key)) ?? null;
  if (!script) return { script, newest: null, current: null };
  return {
    script,
    newest: await newestVersion(db, script.id),
    current: await currentDeployment(db, script.id),
  };
}

/** A script without versions. @throws Failure `account_full` */
export async function makeScript(
  db: Database,
  key: ScriptKey,
  createdOn: string,
): Promise<ScriptRow> {
  const script: ScriptRow = {
    id: randomBytes(16).toString("hex"),
    accountId: key.accountId,
    name: key.scriptName,
    workersDev: 0,
    previews: 0,
    settings: {},
    migrationTag: null,
    createdOn,
    modifiedOn: createdOn,
  };
  await assertRoom(db, key.accountId, "scripts");
  await insertScript(db, script);
  return script;
}
