import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

/** The rows of each table, as JSON. */
export type Rows = ReadonlyMap<string, ReadonlySet<string>>;

export function rowsIn(dataFolder: string): Rows {
  using database = new DatabaseSync(join(dataFolder, "countersign.db"), { readOnly: true });
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  return new Map(
    tables.map(({ name }) => {
      const rows = database.prepare(`SELECT * FROM "${String(name)}"`).all();
      return [String(name), new Set(rows.map((row) => JSON.stringify(row)))];
    }),
  );
}

/** Counters and the end of the audit log move with what anybody does. */
const OF_ALL = new Set(["counters", "audit_heads"]);

export function newRows(rows: Rows, known: Rows): Rows {
  const own = [...rows].filter(([table]) => !OF_ALL.has(table));
  return new Map(own.map(([table, all]) => [table, all.difference(known.get(table) ?? new Set())]));
}

export function goneFrom(rows: Rows, expected: Rows): readonly string[] {
  return [...expected].flatMap(([table, all]) =>
    [...all.difference(rows.get(table) ?? new Set())].map(
      (row) => `${table}: ${row.slice(0, 300)}`,
    ),
  );
}
