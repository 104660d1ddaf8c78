import type { AuditEntry } from "./audit.ts";
import type { Database } from "./database.ts";
import { currentDeployment } from "./deployments.ts";
import { digestsNow } from "./version-content.ts";

/**
 * What the audit log said last of what protects a key or a Worker. The rows have to say the same:
 * somebody with the database, and without the master key, changes rows and cannot change the log.
 */
export class LastWords {
  /** By certificate. */
  readonly #revoked = new Map<string, Set<number>>();
  readonly #allowedHosts = new Map<string, readonly string[] | null>();
  readonly #activeVersions = new Map<string, number>();
  /** By script: version ids, in order. */
  readonly #deployed = new Map<string, string>();
  /** What each version consists of, by its id. */
  readonly #digests = new Map<string, string>();
  /** By `script/binding`. */
  readonly #modes = new Map<string, string>();
  readonly #endedTokens = new Set<string>();

  hear({ action, resource: { id }, after = {} }: AuditEntry): void {
    switch (action) {
      case "certificate.revoke":
        for (const version of numbers(after["revoked"])) this.#revokedOf(id).add(version);
        break;
      case "certificate.settings": {
        const hosts = after["allowed_hosts"];
        if (hosts !== undefined) this.#allowedHosts.set(id, strings(hosts));
        break;
      }
      case "certificate.version":
      case "certificate.activate":
      case "certificate.rollback":
        for (const active of numbers([after["activeVersion"]]))
          this.#activeVersions.set(id, active);
        break;
      case "certificate.delete":
        for (const known of [this.#revoked, this.#allowedHosts, this.#activeVersions])
          known.delete(id);
        break;
      case "version.create":
        this.#hearDigest(after);
        break;
      case "deployment.create":
        this.#hearDigest(after);
        this.#deployed.set(id, versionsIn(after));
        break;
      case "key.secrets":
        for (const [version, digest] of Object.entries(after["versions"] ?? {}))
          this.#digests.set(version, String(digest));
        break;
      case "script.binding":
        if (typeof after["mode"] === "string") this.#modes.set(id, after["mode"]);
        break;
      case "script.delete":
        this.#deployed.delete(id);
        break;
      case "token.delete":
        this.#endedTokens.add(id);
        break;
      default:
    }
  }

  /** The first row that says otherwise, in a sentence. Null: none does. */
  async contradicted(db: Database): Promise<string | null> {
    return (
      (await this.#certificates(db)) ??
      (await this.#scripts(db)) ??
      (await this.#versions(db)) ??
      (await this.#bindings(db)) ??
      (await this.#tokens(db))
    );
  }

  async #certificates(db: Database): Promise<string | null> {
    const certificates = await db
      .selectFrom("certificates")
      .select(["id", "activeVersion", "allowedHosts"])
      .execute();
    const unrevoked = await db
      .selectFrom("certificateVersions")
      .select(["certificateId", "version"])
      .where("revokedOn", "is", null)
      .execute();
    for (const { certificateId, version } of unrevoked) {
      if (this.#revoked.get(certificateId)?.has(version)) {
        return `version ${version} of certificate ${certificateId} was revoked, and its row says that it is not`;
      }
    }
    for (const { id, activeVersion, allowedHosts } of certificates) {
      const hosts = this.#allowedHosts.get(id);
      const now = allowedHosts === null ? null : (JSON.parse(allowedHosts) as string[]);
      if (hosts !== undefined && JSON.stringify(hosts) !== JSON.stringify(now)) {
        return `the allowed hosts of certificate ${id} are not those that were set last`;
      }
      const active = this.#activeVersions.get(id);
      if (active !== undefined && active !== activeVersion) {
        return `certificate ${id} presents version ${activeVersion}, where version ${active} was made active last`;
      }
    }
    return null;
  }

  async #scripts(db: Database): Promise<string | null> {
    for (const { id, name } of await db.selectFrom("scripts").select(["id", "name"]).execute()) {
      const last = this.#deployed.get(id);
      if (last === undefined) continue;
      const current = await currentDeployment(db, id);
      const shares = current?.versions.map(({ versionId, percentage }) => [versionId, percentage]);
      if (versionsIn(Object.fromEntries(shares ?? [])) !== last) {
        return `the Worker "${name}" runs other versions than were deployed last`;
      }
    }
    return null;
  }

  async #versions(db: Database): Promise<string | null> {
    for await (const { id, scriptId, digest } of digestsNow(db)) {
      const written = this.#digests.get(id);
      if (written === undefined || written === digest) continue;
      const script = await db
        .selectFrom("scripts")
        .select("name")
        .where("id", "=", scriptId)
        .executeTakeFirst();
      return `version ${id} of the Worker "${script?.name}" does not consist of what was uploaded`;
    }
    return null;
  }

  async #bindings(db: Database): Promise<string | null> {
    const modes = await db
      .selectFrom("bindingModes")
      .select(["scriptId", "name", "mode"])
      .execute();
    const wrong = modes.find(
      ({ scriptId, name, mode }) =>
        mode === "in-process" && this.#modes.get(`${scriptId}/${name}`) !== mode,
    );
    return wrong === undefined
      ? null
      : `binding "${wrong.name}" of Worker ${wrong.scriptId} is in-process, which nobody set last`;
  }

  async #tokens(db: Database): Promise<string | null> {
    const live = await db
      .selectFrom("tokens")
      .select("id")
      .where("revokedOn", "is", null)
      .execute();
    const back = live.find(({ id }) => this.#endedTokens.has(id));
    return back === undefined
      ? null
      : `token ${back.id} was revoked, and its row says that it is not`;
  }

  #hearDigest({ version, digest }: Readonly<Record<string, unknown>>): void {
    if (typeof version === "string" && typeof digest === "string")
      this.#digests.set(version, digest);
  }

  #revokedOf(id: string): Set<number> {
    let known = this.#revoked.get(id);
    if (known === undefined) this.#revoked.set(id, (known = new Set()));
    return known;
  }
}

/** A publish names its one version, a deployment its versions with their shares. */
function versionsIn(after: Readonly<Record<string, unknown>>): string {
  const { version } = after;
  const shares = typeof version === "string" ? { [version]: 100 } : after;
  const known = Object.entries(shares).filter(([, share]) => typeof share === "number");
  return JSON.stringify(known.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function numbers(value: unknown): number[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === "number") : [];
}

function strings(value: unknown): readonly string[] | null {
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : null;
}
