import { createHash } from "node:crypto";
import type { Database } from "../database.ts";
import type { Tables } from "../schema.ts";

/**
 * What the log says of a row: its table, its key, a hash of what it holds, and one of what it held
 * before. Null: it is not there. Undefined: the entry logs rows that nobody has changed, or is of a
 * version that did not look before.
 */
export type LoggedRow = readonly [
  table: string,
  key: string,
  digest: string | null,
  before?: string | null,
];

/** Rows that let somebody in or keep somebody out. The log says of each what it holds. */
export interface Guard {
  readonly table: keyof Tables;
  /** As `audit verify` calls it. */
  readonly noun: string;
  /** The last one says when the row may go, if `expires` is set. */
  readonly key: readonly string[];
  readonly columns: readonly string[];
  /** Only rows where this column has a value count. */
  readonly where?: string;
  /** The platform removes the row itself, after the time that ends its key. */
  readonly expires?: true;
}

/**
 * A change of the columns of a guard, or of how a migration writes them, needs another `since`:
 * what older entries say of the rows does not count then, and the next start logs them again.
 */
const since = 1;

export const guards: readonly Guard[] = [
  guard({
    table: "users",
    noun: "person",
    key: ["id"],
    columns: ["email", "passwordHash"],
  }),
  guard({
    table: "memberships",
    noun: "role of the person",
    key: ["userId", "accountId"],
    columns: ["role"],
  }),
  guard({
    table: "secondFactors",
    noun: "second factor of the person",
    key: ["userId"],
    columns: ["confirmedOn"],
    where: "confirmedOn",
  }),
  guard({
    table: "tokens",
    noun: "token",
    key: ["id"],
    columns: [
      "accountId",
      "userId",
      "hash",
      "scopes",
      "notBefore",
      "expiresOn",
      "requestIp",
      "disabled",
      "revokedOn",
      "madeBy",
    ],
  }),
  guard({
    table: "serviceTokens",
    noun: "service token",
    key: ["id"],
    columns: [
      "accountId",
      "clientId",
      "secretHash",
      "previousHash",
      "previousUntil",
      "enabled",
      "expiresOn",
    ],
  }),
  guard({
    table: "accessApplications",
    noun: "Access application",
    key: ["id"],
    columns: ["accountId", "aud", "domains", "policies"],
  }),
  guard({
    table: "accessPolicies",
    noun: "Access policy",
    key: ["id"],
    columns: ["accountId", "applicationId", "decision", "rules"],
  }),
  guard({
    table: "accessAuthorities",
    noun: "CA of Access",
    key: ["id"],
    columns: ["accountId", "certificate", "hosts"],
  }),
  guard({
    table: "hostClients",
    noun: "rule for clients of the host",
    key: ["accountId", "host"],
    columns: ["mode", "forward"],
  }),
  guard({
    table: "hostAuthorities",
    noun: "CA for clients of the host",
    key: ["accountId", "host", "authorityId"],
    columns: [],
  }),
  guard({
    table: "clientRevocations",
    noun: "revocation of client certificates",
    key: ["id"],
    columns: ["accountId", "serial", "issuer", "fingerprint"],
  }),
  guard({
    table: "revocationLists",
    noun: "revocation list",
    key: ["id"],
    columns: ["accountId", "url", "issuer", "authority", "hash", "serials"],
  }),
  guard({
    table: "clientCertificates",
    noun: "revocation of the client certificate",
    key: ["id"],
    columns: ["accountId", "serial", "revokedOn"],
    where: "revokedOn",
  }),
  guard({
    table: "issuedIdentities",
    noun: "revocation of the issued certificate",
    key: ["serial", "notAfter"],
    columns: ["accountId", "authorityId", "revokedOn"],
    where: "revokedOn",
    expires: true,
  }),
  guard({
    table: "identities",
    noun: "revocation of the identity of the Worker",
    key: ["accountId", "scriptName"],
    columns: ["revokedOn", "reason"],
    where: "revokedOn",
  }),
  guard({
    table: "identityAuthorities",
    noun: "identity CA",
    key: ["id"],
    columns: ["accountId", "state", "root", "chain", "rootCrl"],
  }),
  guard({
    table: "certificates",
    noun: "certificate",
    key: ["id"],
    columns: ["accountId", "ca", "tied"],
  }),
  guard({
    table: "certificateVersions",
    noun: "version of the certificate",
    key: ["certificateId", "version"],
    columns: ["accountId", "chain"],
  }),
  guard({
    table: "authorityTies",
    noun: "tie of a CA",
    key: ["id"],
    columns: ["accountId", "authorityId", "certificateId", "host", "spiffeIds"],
  }),
  guard({
    table: "policies",
    noun: "policy of origins",
    key: ["accountId", "name", "version"],
    columns: ["body"],
  }),
  guard({
    table: "zones",
    noun: "zone",
    key: ["id"],
    columns: ["accountId", "name"],
  }),
  guard({
    table: "zoneSettings",
    noun: "setting of the zone",
    key: ["zone", "setting"],
    columns: ["accountId", "value"],
  }),
  guard({
    table: "dnsRecords",
    noun: "DNS record",
    key: ["id"],
    columns: ["accountId", "zone", "name", "type", "content", "proxied"],
  }),
  guard({
    table: "hostOrigins",
    noun: "origin of a host",
    key: ["id"],
    columns: ["accountId", "host", "toHost", "toPort", "certificateId"],
  }),
  guard({
    table: "routes",
    noun: "route",
    key: ["id"],
    columns: ["accountId", "scriptId", "kind", "pattern"],
  }),
  guard({
    table: "proxiedZones",
    noun: "proxied zone",
    key: ["accountId", "name"],
    columns: [],
  }),
];

/** As an entry names the guards of which it logs every row. */
export const guardNames: readonly string[] = guards.map(nameOf);

export function nameOf({ table }: Guard): string {
  return `${table}.${since}`;
}

type Row = Readonly<Record<string, unknown>>;

export function keyOf({ key }: Guard, row: Row): string {
  return key.map((column) => String(row[column])).join("/");
}

/** Null: the row does not count. */
export function digestOf({ columns, where }: Guard, row: Row): string | null {
  if (where !== undefined && row[where] === null) return null;
  const values = columns.map((column) => row[column]);
  return createHash("sha256").update(JSON.stringify(values)).digest("base64url");
}

/** The columns that `keyOf` and `digestOf` need. */
export function columnsOf({ key, columns, where }: Guard): readonly string[] {
  return [...new Set([...key, ...columns, ...(where === undefined ? [] : [where])])];
}

/** By key, what each row that counts holds now. */
export async function rowsNow(db: Database, guarded: Guard): Promise<Map<string, string>> {
  // The names are checked by `guard`; Kysely has no word for a table of several.
  const rows = await db
    .selectFrom(guarded.table as "tokens")
    .select(columnsOf(guarded) as readonly "id"[])
    .execute();
  const digests = new Map<string, string>();
  for (const row of rows) {
    const digest = digestOf(guarded, row);
    if (digest !== null) digests.set(keyOf(guarded, row), digest);
  }
  return digests;
}

/** The first row that is not as it was logged last, in a sentence. Null: all are. */
export async function differing(
  db: Database,
  guarded: Guard,
  logged: ReadonlyMap<string, string>,
): Promise<string | null> {
  const { noun, expires } = guarded;
  const now = await rowsNow(db, guarded);
  for (const [key, digest] of now) {
    const said = logged.get(key);
    if (said === undefined)
      return `the ${noun} ${key} is there, and the log does not say who made it`;
    if (said !== digest) return `the ${noun} ${key} is not as it was logged last`;
  }
  for (const key of logged.keys()) {
    if (now.has(key) || (expires && isPast(key))) continue;
    return `the ${noun} ${key} is missing, and the log does not say who removed it`;
  }
  return null;
}

/** The guard of a table. */
export function guardOf(table: string): Guard | undefined {
  return guards.find((one) => one.table === table);
}

/** How a row had come to what it held before an entry. Null: it held what the log says. */
export function changedBefore(
  guarded: Guard,
  key: string,
  { logged, before }: { readonly logged: string | null; readonly before: string | null },
): string | null {
  if (logged === before) return null;
  if (before === null && guarded.expires && isPast(key)) return null;
  const how = logged === null ? "put in" : before === null ? "taken out" : "changed";
  return `the ${guarded.noun} ${key} was ${how} in the database alone`;
}

function isPast(key: string): boolean {
  return Date.parse(key.slice(key.lastIndexOf("/") + 1)) < Date.now();
}

/** Checks the names of the columns. */
function guard<T extends keyof Tables>(one: {
  readonly table: T;
  readonly noun: string;
  readonly key: readonly (keyof Tables[T] & string)[];
  readonly columns: readonly (keyof Tables[T] & string)[];
  readonly where?: keyof Tables[T] & string;
  readonly expires?: true;
}): Guard {
  return one;
}
