import assert from "node:assert/strict";
import { test } from "node:test";
import { CamelCasePlugin, Kysely, sql } from "kysely";
import { JsonColumns } from "./json-columns.ts";
import { sqliteDialect } from "./sqlite.ts";

interface Tables {
  rows: {
    id: number;
    names: readonly string[];
    spiffeIds: readonly string[] | null;
    settings: Readonly<Record<string, unknown>>;
    body: string;
    bytes: Uint8Array;
  };
}

test("lists and objects are JSON in the database, and values for callers", async () => {
  await using db = new Kysely<Tables>({
    dialect: sqliteDialect(":memory:"),
    plugins: [new CamelCasePlugin(), new JsonColumns()],
  });
  await sql`create table rows (id integer, names text, spiffe_ids text, settings text, body text, bytes blob)`.execute(
    db,
  );
  const first = {
    id: 1,
    names: ["a", 'b"'],
    spiffeIds: null,
    settings: { deep: { list: [1] } },
    body: "[1]",
    bytes: new Uint8Array([1, 2]),
  };
  const second = { ...first, id: 2, names: [], spiffeIds: ["spiffe://a/b"], settings: {} };
  await db.insertInto("rows").values([first, second]).execute();
  assert.deepEqual(await db.selectFrom("rows").selectAll().orderBy("id").execute(), [
    first,
    second,
  ]);
  await db
    .updateTable("rows")
    .set({ names: ["c"] })
    .where("id", "in", [1, 2])
    .execute();
  const kept = await db
    .withoutPlugins()
    .selectFrom("rows")
    .select(["names", "body"])
    .where("id", "=", 1)
    .executeTakeFirst();
  assert.deepEqual({ ...kept }, { names: '["c"]', body: "[1]" });
});
