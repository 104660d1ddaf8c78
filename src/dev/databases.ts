import { resolve } from "node:path";
import type { BoundDatabase, DatabaseConfig } from "../contract/database.ts";
import { Failure } from "../failures/failures.ts";
import { databasePasswordPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";
import type { FromPlatform } from "./certificates.ts";
import type { DevFileBinding } from "./file.ts";
import type { RawDatabase } from "./wrangler/wrangler.ts";
import { databasePlace, type DatabasePlace } from "./connection-string.ts";

/** Connections at a time, as a configuration has them that says nothing of it. */
const CONNECTIONS = 60;

export interface DevDatabaseParts {
  readonly accountId: string;
  /** The binding's name: of its certificate and of its configuration too. */
  readonly name: string;
  readonly place: DatabasePlace;
  readonly keyring: Keyring;
  /** Folder that `sslrootcert` is relative to. */
  readonly folder: string;
  /** PEM: what counts with `verify-ca` where no `sslrootcert` is given. */
  readonly authorities: readonly string[];
  /** @throws Failure */
  readonly readAnchors: (path: string) => Promise<string>;
}

/** A `hyperdrive` binding's database, as the platform would hand it to the gateway. @throws Failure */
export async function devDatabase(parts: DevDatabaseParts): Promise<DatabaseConfig> {
  const { accountId, name, place, keyring, authorities } = parts;
  const { rootFile, password, ...rest } = place;
  const roots =
    rootFile === null ? null : [await parts.readAnchors(resolve(parts.folder, rootFile))];
  return {
    ...rest,
    accountId,
    databaseId: name,
    name,
    sealedPassword: keyring.seal(databasePasswordPlace(accountId, name), password),
    certificateId: name,
    // The name of any server would do: never by the public roots.
    authorities: roots ?? (place.verifyName ? null : authorities),
    connectionLimit: CONNECTIONS,
  };
}

export function boundDatabase(name: string, place: DatabasePlace): BoundDatabase {
  const { protocol, database, user } = place;
  return { databaseId: name, protocol, database, user };
}

/**
 * Where a binding leads: what countersign.json says now, else what its Worker was told.
 * @throws Failure `dev_database_malformed`
 */
export function placeOf(
  name: string,
  told: DatabasePlace,
  inFile: string | undefined,
): DatabasePlace {
  const place = databasePlace(name, inFile);
  if (place === null || place.protocol !== told.protocol) return told;
  return place;
}

/** A running platform presents its certificates itself, over HTTP: no database is reached that way. */
export function withoutPlatform(name: string, isAsked: boolean): FromPlatform {
  return async (wanted) => {
    if (!isAsked) return null;
    throw new Failure("dev_certificate_missing", {
      message: `"${name}" is a database's binding, and countersign.json gives it the certificate ${JSON.stringify(wanted)} of the running platform`,
      fix: `Give the certificate as files: {"bindings": {"${name}": {"certificate": {"cert": "cert.pem", "key": "key.pem"}}}}.`,
      facts: { binding: name },
    });
  };
}

/** How wrangler learns of another database than the configuration's. */
export function connectionVariable(name: string): string {
  return `CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_${name}`;
}

/** Connection strings by binding, given in code: they win over variables and countersign.json. */
export type GivenDatabases = Readonly<Record<string, string>>;

/**
 * Tells wrangler, which reads the environment, of the databases in code and in countersign.json. A
 * variable that was there before wins over the file.
 */
export class ToldDatabases implements Disposable {
  /** As the environment itself, of the whole process: what each variable was told, and had before. */
  static readonly #told = new Map<string, { readonly now: string; readonly before?: string }>();
  readonly #given: GivenDatabases;
  readonly #ours = new Map<string, string>();

  constructor(given: GivenDatabases = {}) {
    this.#given = given;
  }

  /** What a binding's variable says, other than what was told here. */
  static variable(name: string): string | undefined {
    const value = process.env[connectionVariable(name)];
    const told = ToldDatabases.#told.get(connectionVariable(name));
    return told !== undefined && told.now === value ? told.before : value;
  }

  /** @returns the bindings with what is given in code, and without what a variable says better */
  tell(bindings: Readonly<Record<string, DevFileBinding>>): Record<string, DevFileBinding> {
    const entries = Object.entries(bindings).map(([name, { database, ...others }]) => {
      const better = Object.hasOwn(this.#given, name) || ToldDatabases.variable(name) !== undefined;
      if (better || database === undefined) return [name, others] as const;
      this.#tell(name, database);
      return [name, { ...others, database }] as const;
    });
    const all = new Map<string, DevFileBinding>(entries);
    for (const [name, database] of Object.entries(this.#given)) {
      this.#tell(name, database);
      all.set(name, { ...all.get(name), database });
    }
    return Object.fromEntries(all);
  }

  #tell(name: string, now: string): void {
    const before = ToldDatabases.variable(name);
    const variable = connectionVariable(name);
    ToldDatabases.#told.set(variable, { now, ...(before !== undefined && { before }) });
    this.#ours.set(variable, now);
    process.env[variable] = now;
  }

  [Symbol.dispose](): void {
    for (const [variable, now] of this.#ours) {
      // Another project's binding of this name may have been told since.
      if (process.env[variable] !== now) continue;
      const before = ToldDatabases.#told.get(variable)?.before;
      ToldDatabases.#told.delete(variable);
      if (before === undefined) delete process.env[variable];
      else process.env[variable] = before;
    }
  }
}

/**
 * The database of a test's binding. Undefined: neither code nor countersign.json names one, and it is
 * no database's. A test whose binding presented no certificate would test nothing.
 * @throws Failure `dev_database_malformed` where it asks for no TLS, too
 */
export function testDatabase(name: string, text: string | undefined): DatabasePlace | undefined {
  if (text === undefined) return undefined;
  const place = databasePlace(name, text);
  if (place !== null) return place;
  throw new Failure("dev_database_malformed", {
    message: `the connection string of "${name}" asks for no TLS: it has no sslmode=require, verify-ca or verify-full`,
    fix: "Add `?sslmode=verify-full` (MySQL: `?ssl-mode=VERIFY_IDENTITY`).",
    facts: { binding: name },
  });
}

/** @returns the connection string of a binding, as wrangler finds it */
export function connectionString(
  { name, localConnectionString }: RawDatabase,
  inFile: string | undefined,
): string | undefined {
  return process.env[connectionVariable(name)] ?? inFile ?? localConnectionString;
}
