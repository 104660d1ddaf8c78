import type { Compilable, CompiledQuery } from "kysely";
import type { Database } from "./database.ts";

type Values<V> = { readonly [K in keyof V]: string | number | null | undefined };

/**
 * A query for rows that is built once, and then run with other values: for those that calls of the API run again and
 * again. Building and compiling a query takes more CPU than SQLite takes to run it.
 *
 * @param build is given a place for each value that is not undefined. Only a `select`: the audit log has to see the
 * rows of every change
 */
export function prepared<V extends Values<V>, Row>(
  build: (db: Database, values: V) => Compilable<Row>,
): (db: Database, values: V) => Promise<Row[]> {
  const known = new WeakMap<object, Map<string, CompiledQuery<Row>>>();
  return async (db, values) => {
    const { adapter } = db.getExecutor();
    const queries = known.get(adapter) ?? new Map<string, CompiledQuery<Row>>();
    known.set(adapter, queries);
    const given = Object.keys(values).filter((name) => values[name as keyof V] !== undefined);
    const shape = given.join();
    const query = queries.get(shape) ?? compiled(build(db, placesFor(given) as unknown as V));
    queries.set(shape, query);
    const parameters = query.parameters.map((one) =>
      typeof one === "symbol" ? values[one.description as keyof V] : one,
    );
    return (await db.executeQuery<Row>({ ...query, parameters })).rows;
  };
}

/** Each stands where its value is going to be. */
function placesFor(names: readonly string[]): Readonly<Record<string, symbol>> {
  return Object.fromEntries(names.map((name) => [name, Symbol(name)]));
}

function compiled<Row>(query: Compilable<Row>): CompiledQuery<Row> {
  const made = query.compile();
  if (made.query.kind === "SelectQueryNode") return made;
  throw new Error(`${made.query.kind}: only a select is prepared`);
}
