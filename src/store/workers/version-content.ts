import { createHash } from "node:crypto";
import type { WorkerBinding } from "../../contract/change-feed.ts";
import { bodyOf } from "../../keys/seal.ts";
import type { Database } from "../database.ts";
import type { ScriptVersionRow } from "../schema.ts";

export interface ModuleHash {
  readonly name: string;
  readonly type: string;
  /** SHA-256 of its content, hex. */
  readonly hash: string;
}

type Content = Pick<
  ScriptVersionRow,
  "number" | "mainModule" | "compatibilityDate" | "compatibilityFlags" | "settings"
> & {
  readonly modules: readonly ModuleHash[];
  readonly bindings: readonly WorkerBinding[];
};

/**
 * SHA-256 over all that makes a version do what it does: code, bindings, secrets as they are sealed,
 * settings. The audit log has it of each version, so that rows that were changed are found. A change
 * of the master key leaves it as it is.
 */
export function versionDigest(content: Content): string {
  return digestOf(content, content.compatibilityFlags, content.settings);
}

/**
 * As earlier versions of Countersign computed it, and logged it in databases that are still in use:
 * with lists and objects as the JSON text that the row has.
 */
function formerDigest(content: Content): string {
  const { compatibilityFlags, settings } = content;
  return digestOf(content, JSON.stringify(compatibilityFlags), JSON.stringify(settings));
}

function digestOf(content: Content, flags: unknown, settings: unknown): string {
  const { number, mainModule, compatibilityDate } = content;
  const modules = content.modules.map(({ name, type, hash }) => [name, type, hash]);
  const bindings = content.bindings.map((binding) =>
    binding.type === "secret_text"
      ? [binding.name, binding.type, bodyOf(binding.sealed)]
      : [binding.name, binding.type, binding],
  );
  const columns = [number, mainModule, compatibilityDate, flags, settings];
  return sha256(JSON.stringify([...columns, modules, bindings]));
}

interface VersionNow {
  readonly id: string;
  readonly scriptId: string;
  readonly digest: string;
  /** The same of the same content, as earlier versions of Countersign logged it. */
  readonly formerDigest: string;
}

/** The digests of every version there is, computed from the rows. Modules are hashed once each. */
export async function* digestsNow(db: Database): AsyncGenerator<VersionNow> {
  const hashes = await hashesNow(db);
  for (let after = ""; ;) {
    const versions = await db
      .selectFrom("scriptVersions")
      .selectAll()
      .where("id", ">", after)
      .orderBy("id")
      .limit(AT_ONCE)
      .execute();
    for (const version of versions) {
      const modules = await db
        .selectFrom("versionModules")
        .select(["name", "type", "blobHash"])
        .where("versionId", "=", version.id)
        .orderBy("position")
        .execute();
      const bindings = await bindingsOf(db, version.id);
      const content = {
        ...version,
        bindings,
        modules: modules.map(({ name, type, blobHash }) => ({
          name,
          type,
          hash: hashes.get(blobHash) ?? "missing",
        })),
      };
      const { id, scriptId } = version;
      yield { id, scriptId, digest: versionDigest(content), formerDigest: formerDigest(content) };
    }
    const last = versions.at(-1);
    if (!last || versions.length < AT_ONCE) return;
    after = last.id;
  }
}

/** In order. The name is the row's: it is where a secret stands. */
export async function bindingsOf(db: Database, versionId: string): Promise<WorkerBinding[]> {
  const rows = await db
    .selectFrom("versionBindings")
    .select(["name", "body"])
    .where("versionId", "=", versionId)
    .orderBy("position")
    .execute();
  return rows.map(({ name, body }) => ({ ...(JSON.parse(body) as WorkerBinding), name }));
}

export function sha256(content: Uint8Array | string): string {
  return createHash("sha256").update(content).digest("hex");
}

const AT_ONCE = 100;

/** What the modules hash to now, by what their rows say. */
async function hashesNow(db: Database): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  const rows = await db.selectFrom("blobs").select("hash").execute();
  for (const { hash } of rows) {
    const { content } = await db
      .selectFrom("blobs")
      .select("content")
      .where("hash", "=", hash)
      .executeTakeFirstOrThrow();
    hashes.set(hash, sha256(content));
  }
  return hashes;
}
