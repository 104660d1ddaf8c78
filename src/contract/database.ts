import type { Sealed } from "../keys/seal.ts";

/** A Hyperdrive configuration as the gateway needs it: a database, and how it is reached. */
export interface DatabaseConfig {
  readonly accountId: string;
  readonly databaseId: string;
  readonly name: string;
  readonly protocol: DatabaseProtocol;
  /** Lower case; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Under its `databasePasswordPlace`. */
  readonly sealedPassword: Sealed;
  /** What is presented: a certificate's id, or `identity`. Null: nothing. */
  readonly certificateId: string | null;
  /** CAs (PEM) that the server is verified against. Null: the certificate's own, else the account's trust. */
  readonly authorities: readonly string[] | null;
  /** Whether the server's certificate has to name the host (`verify-full`, `require`), or not (`verify-ca`). */
  readonly verifyName: boolean;
  /** Connections at a time. */
  readonly connectionLimit: number;
}

export type DatabaseProtocol = "postgres" | "mysql";

/** The parts of a Worker's connection string that are true. The rest of the string is made up. */
export interface BoundDatabase {
  readonly databaseId: string;
  readonly protocol: DatabaseProtocol;
  readonly database: string;
  readonly user: string;
}
