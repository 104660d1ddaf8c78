import { Failure, type FailureCode } from "./failures.ts";

/** SQLite's primary result codes, https://sqlite.org/rescode.html */
const ofSqlite: Readonly<Record<number, FailureCode>> = {
  5: "database_busy",
  6: "database_busy",
  8: "data_folder_read_only",
  10: "disk_failing",
  11: "database_damaged",
  13: "disk_full",
  14: "data_folder_unusable",
  26: "database_damaged",
};

const ofSystem: Readonly<Record<string, FailureCode>> = {
  ENOSPC: "disk_full",
  EDQUOT: "disk_full",
  EFBIG: "disk_full",
  EIO: "disk_failing",
  EROFS: "data_folder_read_only",
  EACCES: "data_folder_read_only",
  EPERM: "data_folder_read_only",
  ENOTDIR: "data_folder_unusable",
  EISDIR: "data_folder_unusable",
  ERR_FS_EISDIR: "data_folder_unusable",
  EEXIST: "data_folder_unusable",
  ENAMETOOLONG: "data_folder_unusable",
  ELOOP: "data_folder_unusable",
  // PostgreSQL: disk_full, and read_only_sql_transaction
  "53100": "disk_full",
  "25006": "data_folder_read_only",
  // character_not_in_repertoire, and untranslatable_character within JSON
  "22021": "text_has_nul",
  "22P05": "text_has_nul",
};

/**
 * The failure for an error of SQLite, of the file system or of PostgreSQL. Null: it is not an error
 * of storage. Never throws.
 * @param what was attempted: `the database "…"`
 */
export function storageFailure(error: unknown, what: string): Failure | null {
  const { errcode, code, message } = (error ?? {}) as {
    readonly errcode?: unknown;
    readonly code?: unknown;
    readonly message?: unknown;
  };
  const known =
    typeof errcode === "number"
      ? ofSqlite[errcode & 0xff]
      : Object.hasOwn(ofSystem, String(code))
        ? ofSystem[String(code)]
        : undefined;
  if (known === undefined) return null;
  return new Failure(known, { message: `${what}: ${String(message)}`, cause: error });
}

/** The same, of an error from anywhere: only what cannot mean anything else. */
export function diskFailure(error: unknown, what: string): Failure | null {
  const failure = storageFailure(error, what);
  if (failure?.code === "text_has_nul") return new Failure("text_has_nul", { cause: error });
  return failure?.code === "disk_full" || failure?.code === "disk_failing" ? failure : null;
}
