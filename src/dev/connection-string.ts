import type { DatabaseProtocol } from "../contract/database.ts";
import { Failure } from "../failures/failures.ts";
import { unbracketed } from "../network/unbracketed.ts";

/** A database, as named by a connection string. */
export interface DatabasePlace {
  readonly protocol: DatabaseProtocol;
  /** Lower case; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** False with `verify-ca`, which does not check the host's name. */
  readonly verifyName: boolean;
  /** `sslrootcert`, unchanged. Null: the string has none. */
  readonly rootFile: string | null;
}

/**
 * The database of a `localConnectionString` that asks for TLS: `sslmode=require`, `verify-ca` or `verify-full`, or
 * MySQL's own words for these. Null: the string asks for no TLS, so wrangler itself serves the binding.
 * @throws Failure `dev_database_malformed`, which quotes no password
 */
export function databasePlace(binding: string, text: string | undefined): DatabasePlace | null {
  if (text === undefined) return null;
  const url = URL.parse(text);
  if (url === null) throw malformed(binding, "it is no URL");
  const protocol = PROTOCOLS[url.protocol];
  if (protocol === undefined) {
    throw malformed(binding, `"${url.protocol}" is neither "postgres:" nor "mysql:"`);
  }
  const parameters = new Map(
    Array.from(url.searchParams, ([name, value]) => [name.toLowerCase(), value]),
  );
  const mode = parameters.get("sslmode") ?? parameters.get("ssl-mode");
  const verification = VERIFICATIONS[(mode ?? "").toLowerCase().replace("_", "-")];
  if (verification === undefined) return null;
  const [database, user, password] = [url.pathname.slice(1), url.username, url.password].map(
    (part) => decoded(binding, part),
  ) as [string, string, string];
  if (url.hostname === "" || database === "" || user === "") {
    throw malformed(binding, "host, user and database have to be there");
  }
  return {
    protocol,
    host: unbracketed(url.hostname.toLowerCase()),
    port: Number(url.port) || (protocol === "mysql" ? 3306 : 5432),
    database,
    user,
    password,
    verifyName: verification === "name",
    rootFile: parameters.get("sslrootcert") ?? null,
  };
}

const PROTOCOLS: Readonly<Record<string, DatabaseProtocol>> = {
  "postgres:": "postgres",
  "postgresql:": "postgres",
  "mysql:": "mysql",
};

const VERIFICATIONS: Readonly<Record<string, "name" | "ca">> = {
  require: "name",
  required: "name",
  "verify-full": "name",
  "verify-identity": "name",
  "verify-ca": "ca",
};

function decoded(binding: string, part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw malformed(binding, "a % in it is not followed by two hexadecimal digits");
  }
}

function malformed(binding: string, why: string): Failure {
  return new Failure("dev_database_malformed", {
    message: `the connection string of "${binding}" is malformed: ${why}`,
    facts: { binding },
  });
}
