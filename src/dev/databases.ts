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

/** How wrangler is told of another database than the configuration's. */
export function connectionVariable(name: string): string {
  return `CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_${name}`;
}

/**
 * Tells wrangler, which reads the environment, of the databases in countersign.json. A variable that
 * was there before wins over the file.
 */
export class FileDatabases implements Disposable {
  readonly #ours = new Set<string>();

  /** @returns the bindings without what a variable says better */
  tell(bindings: Readonly<Record<string, DevFileBinding>>): Record<string, DevFileBinding> {
    return Object.fromEntries(
      Object.entries(bindings).map(([name, binding]) => {
        const { database, ...others } = binding;
        if (database === undefined) return [name, binding];
        const variable = connectionVariable(name);
        if (process.env[variable] !== undefined && !this.#ours.has(variable)) return [name, others];
        this.#ours.add(variable);
        process.env[variable] = database;
        return [name, binding];
      }),
    );
  }

  [Symbol.dispose](): void {
    for (const variable of this.#ours) delete process.env[variable];
  }
}

/** @returns the connection string of a binding, as wrangler finds it */
export function connectionString(
  { name, localConnectionString }: RawDatabase,
  inFile: string | undefined,
): string | undefined {
  return process.env[connectionVariable(name)] ?? inFile ?? localConnectionString;
}
