import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";

/** Every row of every table, to see that nothing changed. */
export function dumpDatabase(path: string): Record<string, unknown[]> {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    const tables = database
      .prepare("select name from sqlite_master where type = 'table' order by name")
      .all();
    return Object.fromEntries(
      tables.map(({ name }) => [
        String(name),
        database.prepare(`select * from "${String(name)}" order by 1, 2`).all(),
      ]),
    );
  } finally {
    database.close();
  }
}

export function databaseHash(path: string): string {
  return createHash("sha256")
    .update(JSON.stringify(dumpDatabase(path)))
    .digest("hex");
}
