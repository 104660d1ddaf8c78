import { randomUUID } from "node:crypto";
import { secretPlace } from "../../src/keys/places.ts";
import { Keyring, type Sealed } from "../../src/keys/seal.ts";
import type { AccountAccess } from "../../src/contract/access.ts";
import type { DatabaseConfig } from "../../src/contract/database.ts";
import type {
  AccountTrust,
  Change,
  Deployment,
  CertificateVersion,
  ModuleType,
  ScriptKey,
  Snapshot,
  Source,
  WorkerBinding,
  WorkerVersion,
} from "../../src/contract/change-feed.ts";

import type { Host, HostOrigin } from "../../src/contract/hosts.ts";

export const ACCOUNT = "0123456789abcdef0123456789abcdef";
export const MASTER_KEY: Uint8Array = new Uint8Array(32).fill(7);

/** A control plane in memory. */
export class TestSource implements Source {
  readonly #previewed = new Map<string, WorkerVersion>();
  readonly #deployments = new Map<string, Deployment>();
  readonly #certificates = new Map<string, CertificateVersion>();
  readonly #databases = new Map<string, DatabaseConfig>();
  #access: AccountAccess = { applications: [], tokens: [], authorities: [], keys: [] };
  #trust: AccountTrust = { authorities: [], hosts: {}, proxied: [] };
  #hosts: readonly Host[] = [];
  #revoked: readonly string[] = [];
  readonly #changes: Change[] = [];
  readonly #more = new EventTarget();

  zones(): Promise<[]> {
    return Promise.resolve([]);
  }

  challenges(): Promise<[]> {
    return Promise.resolve([]);
  }

  /** Returns the cursor of the change. */
  deploy(
    version: WorkerVersion | readonly (readonly [WorkerVersion, number])[],
    reach: Partial<Pick<Deployment, "hosts" | "routes" | "previews">> = {},
  ): number {
    const shares = isVersion(version) ? [[version, 100] as const] : version;
    const { accountId, scriptName } = shares[0]![0];
    const key = { accountId, scriptName };
    this.#deployments.set(scriptName, {
      ...key,
      versions: shares.map(([one, percentage]) => ({ version: one, percentage })),
      hosts: reach.hosts ?? [`${scriptName}.localhost`],
      routes: reach.routes ?? [],
      previews: reach.previews ?? [],
    });
    return this.#changed({ kind: "script", ...key });
  }

  remove(scriptName: string): number {
    this.#deployments.delete(scriptName);
    return this.#changed({ kind: "script", accountId: ACCOUNT, scriptName });
  }

  setCertificate(certificate: CertificateVersion): number {
    this.#certificates.set(certificate.certificateId, certificate);
    const { accountId, certificateId } = certificate;
    return this.#changed({ kind: "certificate", accountId, certificateId });
  }

  setTrust(trust: AccountTrust): number {
    this.#trust = trust;
    return this.#changed({ kind: "trust", accountId: ACCOUNT });
  }

  setAccess(access: AccountAccess): number {
    this.#access = access;
    return this.#changed({ kind: "access", accountId: ACCOUNT });
  }

  async access(): Promise<AccountAccess> {
    return this.#access;
  }

  setDatabase(database: DatabaseConfig): number {
    this.#databases.set(database.databaseId, database);
    const { accountId, databaseId } = database;
    return this.#changed({ kind: "database", accountId, databaseId });
  }

  async database(_: string, databaseId: string): Promise<DatabaseConfig | null> {
    return this.#databases.get(databaseId) ?? null;
  }

  async snapshot(): Promise<Snapshot> {
    return {
      cursor: this.#changes.length,
      scripts: [...this.#deployments.values()],
      certificates: [...this.#certificates.values()],
      databases: [...this.#databases.values()],
      accounts: [ACCOUNT],
    };
  }

  async *changes(cursor: number, signal: AbortSignal): AsyncGenerator<Change> {
    let next = cursor;
    while (!signal.aborted) {
      for (const change of this.#changes.slice(next)) yield change;
      next = this.#changes.length;
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
        this.#more.addEventListener("more", () => resolve(), { once: true });
      });
    }
  }

  async deployment({ scriptName }: ScriptKey): Promise<Deployment | null> {
    return this.#deployments.get(scriptName) ?? null;
  }

  async preview(_: ScriptKey, versionId: string): Promise<WorkerVersion | null> {
    return this.#previewed.get(versionId) ?? null;
  }

  /** A version that `deploy` may name among its previews. */
  keep(version: WorkerVersion): void {
    this.#previewed.set(version.versionId, version);
  }

  async certificate(_: string, certificateId: string): Promise<CertificateVersion | null> {
    return this.#certificates.get(certificateId) ?? null;
  }

  async trust(): Promise<AccountTrust> {
    return this.#trust;
  }

  setHosts(hosts: readonly Host[], revoked: readonly string[] = []): number {
    this.#hosts = hosts;
    this.#revoked = revoked;
    return this.#changed({ kind: "hosts", accountId: ACCOUNT });
  }

  async queues(): Promise<[]> {
    return [];
  }

  async origins(): Promise<readonly HostOrigin[]> {
    return [];
  }

  async routedHosts(): Promise<readonly string[]> {
    return [];
  }

  async revocations(): Promise<readonly string[]> {
    return this.#revoked;
  }

  async hosts(): Promise<readonly Host[]> {
    return this.#hosts;
  }

  #changed(
    change: Change extends infer C ? (C extends Change ? Omit<C, "cursor"> : never) : never,
  ): number {
    this.#changes.push({ ...change, cursor: this.#changes.length + 1 });
    this.#more.dispatchEvent(new Event("more"));
    return this.#changes.length;
  }
}

/** The main module, or modules by name; the extension gives the type. */
export function makeVersion(
  scriptName: string,
  source: string | Readonly<Record<string, string | Uint8Array>>,
  bindings: readonly WorkerBinding[] = [],
): WorkerVersion {
  const modules = typeof source === "string" ? { "index.js": source } : source;
  const versionId = randomUUID();
  return {
    accountId: ACCOUNT,
    scriptName,
    versionId,
    mainModule: Object.keys(modules)[0]!,
    modules: Object.entries(modules).map(([name, content]) => ({
      name,
      type: typeOf(name),
      content: typeof content === "string" ? Buffer.from(content) : content,
    })),
    compatibilityDate: "2026-11-01",
    compatibilityFlags: [],
    bindings: bindings.map((binding) => sealed({ scriptName, versionId }, binding)),
  };
}

const NOT_YET = "to be sealed: ";

function sealed(
  owner: { readonly scriptName: string; readonly versionId: string },
  binding: WorkerBinding,
): WorkerBinding {
  if (binding.type !== "secret_text" || !binding.sealed.startsWith(NOT_YET)) return binding;
  const place = secretPlace({ ...owner, accountId: ACCOUNT, name: binding.name });
  const text = binding.sealed.slice(NOT_YET.length);
  return { ...binding, sealed: new Keyring(MASTER_KEY).seal(place, text) };
}

/** Sealed by `makeVersion`, for its version. */
export function secretBinding(name: string, text: string): WorkerBinding {
  return { type: "secret_text", name, sealed: `${NOT_YET}${text}` as Sealed };
}

function typeOf(name: string): ModuleType {
  const extension = name.slice(name.lastIndexOf(".") + 1);
  const types: Record<string, ModuleType> = {
    cjs: "commonjs",
    txt: "text",
    bin: "data",
    json: "json",
    wasm: "wasm",
    map: "sourcemap",
  };
  return types[extension] ?? "esm";
}

function isVersion(
  version: WorkerVersion | readonly (readonly [WorkerVersion, number])[],
): version is WorkerVersion {
  return "versionId" in version;
}
