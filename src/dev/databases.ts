import { resolve } from "node:path";
import type { BoundDatabase, DatabaseConfig } from "../contract/database.ts";
import { Failure } from "../failures/failures.ts";
import { databasePasswordPlace } from "../keys/places.ts";
import type { Keyring } from "../keys/seal.ts";
import type { FromPlatform } from "./certificates.ts";
import type { DevFileBinding } from "./file.ts";
import type { RawDatabase } from "./wrangler/wrangler.ts";
import { databasePlace, type DatabasePlace } from "./connection-string.ts";

/** The default number of connections of a Hyperdrive configuration. */
const CONNECTIONS = 60;

export interface DevDatabaseParts {
  readonly accountId: string;
  /** The name of the binding, of its certificate and of its configuration. */
  readonly name: string;
  readonly place: DatabasePlace;
  readonly keyring: Keyring;
  /** The folder that `sslrootcert` is relative to. */
  readonly folder: string;
  /** PEM. With `verify-ca` and without `sslrootcert`, these CAs are trusted. */
  readonly authorities: readonly string[];
  /** @throws Failure */
  readonly readAnchors: (path: string) => Promise<string>;
}

/**
 * A `hyperdrive` binding's database, in the form in which the platform would hand it to the gateway. @throws Failure
 */
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
    // Without a check of the name, any server with a public certificate would be accepted, so public roots are not
    // trusted here.
    authorities: roots ?? (place.verifyName ? null : authorities),
    connectionLimit: CONNECTIONS,
  };
}

export function boundDatabase(name: string, place: DatabasePlace): BoundDatabase {
  const { protocol, database, user } = place;
  return { databaseId: name, protocol, database, user };
}

/**
 * Where a binding leads: what countersign.json says now, else what its Worker was given at the start.
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

/** A running platform presents its certificates over HTTP only, so databases cannot be reached through it. */
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

/** The environment variable from which wrangler reads a database that differs from the configuration's. */
export function connectionVariable(name: string): string {
  return `CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_${name}`;
}

/** Connection strings by binding, given in code. They take precedence over variables and countersign.json. */
export type GivenDatabases = Readonly<Record<string, string>>;

/**
 * Sets environment variables, from which wrangler reads the databases given in code and in countersign.json. A variable
 * that was already set takes precedence over the file.
 */
export class ToldDatabases implements Disposable {
  /**
   * Static, because the environment belongs to the whole process: for each variable the value that was set here, and
   * the one before.
   */
  static readonly #told = new Map<string, { readonly now: string; readonly before?: string }>();
  readonly #given: GivenDatabases;
  readonly #ours = new Map<string, string>();

  constructor(given: GivenDatabases = {}) {
    this.#given = given;
  }

  /** The value of a binding's variable, unless it was set here. */
  static variable(name: string): string | undefined {
    const value = process.env[connectionVariable(name)];
    const told = ToldDatabases.#told.get(connectionVariable(name));
    return told !== undefined && told.now === value ? told.before : value;
  }

  /**
   * @returns the bindings of the file, with the databases given in code, and without those that a variable overrides
   */
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
      // Another project's binding with this name may have set the variable since.
      if (process.env[variable] !== now) continue;
      const before = ToldDatabases.#told.get(variable)?.before;
      ToldDatabases.#told.delete(variable);
      if (before === undefined) delete process.env[variable];
      else process.env[variable] = before;
    }
  }
}

/**
 * The database of a test's binding. Undefined: neither code nor countersign.json names one, so the binding is not a
 * database's. A string without TLS is an error here, because a test whose binding presents no certificate would test
 * nothing.
 * @throws Failure `dev_database_malformed`, also if the string asks for no TLS
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

/** @returns the connection string of a binding, from where wrangler takes it */
export function connectionString(
  { name, localConnectionString }: RawDatabase,
  inFile: string | undefined,
): string | undefined {
  return process.env[connectionVariable(name)] ?? inFile ?? localConnectionString;
}
