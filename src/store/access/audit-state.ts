import type { AuditEntry } from "./audit.ts";
import type { Database } from "../database.ts";
import { changedBefore, differing, guardOf, guards, nameOf } from "./guarded-rows.ts";
import { currentDeployment } from "../workers/deployments.ts";
import { digestsNow } from "../workers/version-content.ts";

/** The last logged values, which are kept when their entries are removed. */
export interface LastLogged {
  readonly revoked: readonly (readonly [id: string, versions: readonly number[]])[];
  readonly allowedHosts: readonly (readonly [id: string, hosts: readonly string[] | null])[];
  readonly activeVersions: readonly (readonly [id: string, version: number])[];
  readonly deployed: readonly (readonly [id: string, versions: string])[];
  readonly digests: readonly (readonly [version: string, digest: string])[];
  readonly modes: readonly (readonly [binding: string, mode: string])[];
  readonly endedTokens: readonly string[];
  /** Every secret is bound to its version and name. */
  readonly secretsBound: boolean;
  /** By table. */
  readonly rows: readonly (readonly [
    table: string,
    digests: readonly (readonly [string, string])[],
  ])[];
  readonly logged: readonly string[];
  /** As of `LastWords`. */
  readonly earlier: readonly EarlierChange[];
}

/** A row that was changed in the database alone, and later through the API. */
export type EarlierChange = readonly [entry: number, what: string];

/** How many of these are kept: the last ones. */
const MOST_EARLIER = 100;

/**
 * The last logged value of everything that protects a key or a Worker. The rows have to be equal:
 * somebody who has the database, but not the master key, can change rows but not the log.
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
  #secretsBound = false;
  /** By table and key, what each guarded row holds. */
  readonly #rows = new Map<string, Map<string, string>>();
  /** Guards of which every row was logged: no other may be there. */
  readonly #logged = new Set<string>();
  #earlier: readonly EarlierChange[] = [];

  /** Begins with the values from removed entries. @param words of `toJSON` */
  constructor(words: Partial<LastLogged> = {}) {
    for (const [id, versions] of words.revoked ?? []) this.#revoked.set(id, new Set(versions));
    for (const [id, hosts] of words.allowedHosts ?? []) this.#allowedHosts.set(id, hosts);
    for (const [id, version] of words.activeVersions ?? []) this.#activeVersions.set(id, version);
    for (const [id, versions] of words.deployed ?? []) this.#deployed.set(id, versions);
    for (const [id, digest] of words.digests ?? []) this.#digests.set(id, digest);
    for (const [id, mode] of words.modes ?? []) this.#modes.set(id, mode);
    for (const id of words.endedTokens ?? []) this.#endedTokens.add(id);
    this.#secretsBound = words.secretsBound === true;
    for (const [table, digests] of words.rows ?? []) this.#rows.set(table, new Map(digests));
    for (const name of words.logged ?? []) this.#logged.add(name);
    this.#earlier = words.earlier ?? [];
  }

  toJSON(): LastLogged {
    return {
      revoked: [...this.#revoked].map(([id, versions]) => [id, [...versions]] as const),
      allowedHosts: [...this.#allowedHosts],
      activeVersions: [...this.#activeVersions],
      deployed: [...this.#deployed],
      digests: [...this.#digests],
      modes: [...this.#modes],
      endedTokens: [...this.#endedTokens],
      secretsBound: this.#secretsBound,
      rows: [...this.#rows].map(([table, digests]) => [table, [...digests]] as const),
      logged: [...this.#logged],
      earlier: this.#earlier,
    };
  }

  hear(entry: AuditEntry): void {
    this.#hearRows(entry);
    const { action, resource, after = {} } = entry;
    const { id } = resource;
    if (after["secretsBound"] === true) this.#secretsBound = true;
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

  /**
   * The first row that was not as it had been logged when an entry changed it, in a sentence. Null:
   * all were. @param noted the last entry of which that was known before
   */
  earlierChange(noted: number): string | null {
    const found = this.#earlier.find(([entry]) => entry > noted);
    return found === undefined ? null : `${found[1]}, before entry ${found[0]} changed it`;
  }

  /** The first row that differs, in a sentence. Null: none differs. */
  async contradicted(db: Database): Promise<string | null> {
    return (
      (await this.#certificates(db)) ??
      (await this.#scripts(db)) ??
      (await this.#versions(db)) ??
      (await this.#bindings(db)) ??
      (await this.#tokens(db)) ??
      (await this.#guarded(db))
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
      const now = allowedHosts;
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
    for await (const { id, scriptId, digest, formerDigest } of digestsNow(db)) {
      const written = this.#digests.get(id);
      if (written === undefined || written === digest || written === formerDigest) continue;
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

  async #guarded(db: Database): Promise<string | null> {
    for (const guarded of guards.filter((one) => this.#logged.has(nameOf(one)))) {
      const wrong = await differing(db, guarded, this.#rows.get(guarded.table) ?? new Map());
      if (wrong !== null) return wrong;
    }
    return null;
  }

  #hearRows({ sequence, rows, logged = [] }: AuditEntry): void {
    if (rows === undefined) {
      // An older version was at work, and did not log what it made of the rows.
      this.#rows.clear();
      this.#logged.clear();
      return;
    }
    for (const guarded of guards.filter((one) => logged.includes(nameOf(one)))) {
      this.#logged.add(nameOf(guarded));
      this.#rows.delete(guarded.table);
    }
    for (const [table, key, digest, before] of rows) {
      let known = this.#rows.get(table);
      if (known === undefined) this.#rows.set(table, (known = new Map()));
      const guarded = guardOf(table);
      if (before !== undefined && guarded !== undefined && this.#logged.has(nameOf(guarded))) {
        const found = changedBefore(guarded, key, { logged: known.get(key) ?? null, before });
        if (found !== null)
          this.#earlier = [...this.#earlier, [sequence, found] as const].slice(-MOST_EARLIER);
      }
      if (digest === null) known.delete(key);
      else known.set(key, digest);
    }
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
