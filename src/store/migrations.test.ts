import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { CamelCasePlugin, Kysely } from "kysely";
import { Migrator } from "kysely/migration";
import { migrationNames, migrations } from "./migrations.ts";
import { sqliteDialect } from "./sqlite.ts";
import { openStore } from "./store.ts";

/** Migrations in the order in which they came. A new one is added at the end, whatever its name. */
const landed: readonly string[] = [
  "001-begin",
  "002-settings",
  "010-identities",
  "011-makers",
  "020-activations",
  "031-hosts",
  "030-access",
  "042-host-clients",
  "041-second-factors",
  "050-hyperdrive",
  "070-resources",
  "080-origin-identities",
  "085-host-origins",
  "091-object-namespaces",
  "095-revocation-lists",
  "093-cron",
  "094-dns-records",
  "092-assets",
  "094-origin-pulls",
  "093-queues",
  "096-global-pulls",
  "097-acme",
  "105-identity-environments",
  "102-version-previews",
  "103-access-key-times",
  "103b-presented-notices",
  "114-as-sent",
  "115-acme-challenge",
  "110-workflows",
  "120-zone-settings",
  "121-acme-external-accounts",
  "122-access-key-intervals",
  "123-certificate-lists",
  "124-oauth-proofs",
];

const folder = mkdtempSync(join(tmpdir(), "countersign-migrations-"));
after(() => rmSync(folder, { recursive: true }));

test("the list above has every migration", () => {
  assert.deepEqual(landed.toSorted(), [...migrationNames].toSorted());
});

test("a database of any earlier version is brought up to date, and has what a new one has", async () => {
  const fresh = await columnsOf("fresh.db");
  assert.ok(fresh.length > 200);
  for (let count = 1; count <= landed.length; count += 1) {
    const name = `${count}.db`;
    await makeWith(name, landed.slice(0, count));
    assert.deepEqual(await columnsOf(name), fresh, `up to ${landed[count - 1]}`);
  }
});

/** A database as the version made it that knew these migrations. */
async function makeWith(name: string, known: readonly string[]): Promise<void> {
  const db = new Kysely({
    dialect: sqliteDialect(join(folder, name)),
    plugins: [new CamelCasePlugin()],
  });
  const all = await migrations.getMigrations();
  const provider = {
    getMigrations: async () => Object.fromEntries(known.map((each) => [each, all[each]!])),
  };
  const { error } = await new Migrator({ db, provider }).migrateToLatest();
  await db.destroy();
  assert.equal(error, undefined);
}

/** Every table's columns, and every index, once today's code has opened it. */
async function columnsOf(name: string): Promise<readonly unknown[]> {
  const path = join(folder, name);
  await (await openStore(path))[Symbol.asyncDispose]();
  const database = new DatabaseSync(path, { readOnly: true });
  const rows = database
    .prepare(
      `select t.name || '.' || c.name || ' ' || c.type || ' ' || c."notnull" as what
         from sqlite_master as t join pragma_table_info(t.name) as c where t.type = 'table'
       union all select tbl_name || ': ' || name from sqlite_master where type = 'index'
       order by what`,
    )
    .all();
  database.close();
  return rows.map(({ what }) => what);
}
