import { existsSync } from "node:fs";
import { basename } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";

/** A copy of a database that Workers may write to meanwhile. */
export interface CopiedDatabase {
  /** Of the database, relative to the storage. */
  readonly path: string;
  /** Absolute: the database, and the copy. */
  readonly live: string;
  readonly copy: string;
}

/** The files of a backup, by their paths relative to the storage. */
export interface BackupFiles {
  /** Whether a file of this name is in the backup. */
  has(name: string): boolean;
  /** Adds a file. @returns false if it is gone */
  add(path: string): boolean;
  /** The names in a folder. */
  namesIn(folder: string): readonly string[];
}

/**
 * KV and R2 keep large values in files, and remove a file once its value was replaced: those that were replaced since
 * the copy was made are gone. Such values get into the copy as they are now.
 */
export function addValues(database: CopiedDatabase, files: BackupFiles): void {
  const { path, live, copy } = database;
  const [, data, kind] = /^([^/]+\/data)\/(kv|r2)\/\2\/[0-9a-f]{64}\.sqlite$/.exec(path) ?? [];
  if (data === undefined) return;
  const places = kind === "kv" ? kvPlaces(data) : bucketPlaces(data, files);
  const isThere = (file: string): boolean =>
    files.has(basename(file)) || places(file).some((place) => files.add(place));
  using copied = new DatabaseSync(copy, UNCHECKED) as DatabaseSync & Disposable;
  for (const { table, values, renew } of kind === "kv" ? KV : R2) {
    if (copied.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?").get(table) === undefined)
      continue;
    const gone = new Set<unknown>();
    for (const { id, file } of copied.prepare(values).iterate()) {
      if (!isThere(String(file))) gone.add(id);
    }
    if (gone.size === 0 || !existsSync(live)) continue;
    copied.exec("PRAGMA synchronous = OFF");
    copied.prepare("ATTACH ? AS live").run(`${pathToFileURL(live).href}?mode=rw`);
    const one = copied.prepare(`SELECT file FROM (${values}) WHERE id = ?`);
    const statements = renew.map((sql) => copied.prepare(sql));
    for (const id of gone) {
      for (let tries = 0; tries < MOST_TRIES; tries++) {
        copied.exec("BEGIN");
        for (const statement of statements) statement.run(id as string);
        const isWhole = one.all(id as string).every(({ file }) => isThere(String(file)));
        copied.exec(isWhole ? "COMMIT" : "ROLLBACK");
        if (isWhole) break;
      }
    }
    copied.exec("DETACH live");
  }
}

/** The file of a value that was read just now is there, but for one that has been missing all along. */
const MOST_TRIES = 100;
const UNCHECKED = { enableForeignKeyConstraints: false, timeout: 10_000 };

interface Values {
  readonly table: string;
  /** Selects the files, and the `id`s of what they belong to. */
  readonly values: string;
  /** Puts what has this id now, in the database `live`, in the place of what had it. */
  readonly renew: readonly string[];
}

const KV: readonly Values[] = [
  {
    table: "entries",
    values: "SELECT key AS id, blob AS file FROM main.entries WHERE blob IS NOT NULL",
    renew: [
      "DELETE FROM main.entries WHERE key = ?",
      "INSERT INTO main.entries SELECT * FROM live.entries WHERE key = ?",
    ],
  },
];

const [OBJECTS, UPLOADS, PARTS] = ["_mf_objects", "_mf_multipart_uploads", "_mf_multipart_parts"];

const R2: readonly Values[] = [
  {
    // Objects, of one file or of several.
    table: OBJECTS,
    values: `SELECT key AS id, blob_id AS file FROM main.${OBJECTS} WHERE blob_id IS NOT NULL
      UNION ALL SELECT object_key, blob_id FROM main.${PARTS} WHERE object_key IS NOT NULL`,
    renew: [
      `DELETE FROM main.${PARTS} WHERE object_key = ?`,
      `DELETE FROM main.${OBJECTS} WHERE key = ?`,
      `INSERT INTO main.${OBJECTS} SELECT * FROM live.${OBJECTS} WHERE key = ?`,
      `INSERT OR REPLACE INTO main.${UPLOADS} SELECT * FROM live.${UPLOADS}
        WHERE upload_id IN (SELECT upload_id FROM live.${PARTS} WHERE object_key = ?)`,
      `INSERT OR REPLACE INTO main.${PARTS} SELECT * FROM live.${PARTS} WHERE object_key = ?`,
    ],
  },
  {
    // Uploads that were not completed.
    table: PARTS,
    values: `SELECT upload_id AS id, blob_id AS file FROM main.${PARTS} WHERE object_key IS NULL`,
    renew: [
      `DELETE FROM main.${PARTS} WHERE upload_id = ? AND object_key IS NULL`,
      `INSERT INTO main.${PARTS} SELECT * FROM live.${PARTS} WHERE upload_id = ? AND object_key IS NULL`,
    ],
  },
];

/** Where a file may be, relative to the storage. */
type Places = (file: string) => readonly string[];

function kvPlaces(data: string): Places {
  return (file) => (/^[\w-]+\/b\/[\w-]+$/.test(file) ? [`${data}/kv-blobs/${file}`] : []);
}

/** A bucket's database does not say in which folder its files are. */
function bucketPlaces(data: string, files: BackupFiles): Places {
  const folders = files.namesIn(`${data}/r2`).filter((name) => name !== "r2");
  return (file) => {
    if (!/^[0-9a-f]+$/.test(file)) return [];
    return folders.map((bucket) => `${data}/r2/${bucket}/blobs/${file}`);
  };
}
