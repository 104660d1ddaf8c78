import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { appendAudit, type AuditEntry, chained } from "../src/store/access/audit.ts";
import { checkAudit } from "../src/store/access/audit-check.ts";
import { pruneAudit } from "../src/store/access/audit-prune.ts";
import { guards } from "../src/store/access/guarded-rows.ts";
import { logRows } from "../src/store/access/log-rows.ts";
import type { Database } from "../src/store/database.ts";
import { auditHeadPlace } from "../src/keys/places.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { engines, testKeyring } from "./helpers/database.ts";
import { makeGuarded } from "./helpers/guarded.ts";

type Row = Record<string, unknown>;

for (const [engine, open] of Object.entries(engines)) {
  describe(`rows that are changed in the database alone, on ${engine}`, () => {
    let control: TestControl;
    let foreign: ReadonlyMap<string, string>;
    before(async () => {
      control = await startControl({ open });
      await makeGuarded(control, async (what) => assert.equal(await broken(), null, what));
      foreign = await otherRows(control.store.db);
    });
    after(() => control[Symbol.asyncDispose]());

    const broken = async (db: Database = control.store.db): Promise<string | null> =>
      (await checkAudit(db, testKeyring)).broken;

    /** What `audit verify` says of a change that is then undone. */
    async function afterChange(change: (db: Database) => Promise<unknown>): Promise<string | null> {
      let said: string | null = null;
      const undone = control.store.housekeep(async ({ db }) => {
        await change(db);
        said = await broken(db);
        throw new Undone();
      });
      await assert.rejects(undone, Undone);
      return said;
    }

    for (const { table, noun, key, columns, where } of guards) {
      // The names are those of a guard; Kysely has no word for a table of several.
      const named = table as "tokens";
      const at = (row: Row) => key.map((column) => [column, row[column] as string] as const);
      async function rowOf(): Promise<Row> {
        const query = control.store.db.selectFrom(named).selectAll();
        const found = where === undefined ? query : query.where(where as "id", "is not", null);
        // The last one: the first identity CA cannot be taken out, because it has issued.
        return (await found.execute()).at(-1)!;
      }
      const isNamed = (said: string | null, what: string) =>
        assert.ok(said?.startsWith(`the ${noun} `), `${table}, ${what}: ${said}`);

      it(`found when changed: the ${noun}`, async () => {
        const row = await rowOf();
        for (const column of columns) {
          const set = { [column]: changed(foreign, table, column, row[column]) };
          const said = await afterChange(async (db) => {
            let query = db.updateTable(named).set(set);
            for (const [name, value] of at(row)) {
              query = query.where(name as "id", "=", value);
            }
            const [{ numUpdatedRows } = { numUpdatedRows: 0n }] = await query.execute();
            assert.equal(numUpdatedRows, 1n);
          });
          isNamed(said, column);
        }
      });

      it(`found when taken out: the ${noun}`, async () => {
        const row = await rowOf();
        const said = await afterChange((db) => {
          let query = db.deleteFrom(named);
          for (const [name, value] of at(row)) {
            query = query.where(name as "id", "=", value);
          }
          return query.execute();
        });
        isNamed(said, "taken out");
      });

      it(`found when put in: the ${noun}`, async () => {
        const row = await rowOf();
        const another = Object.fromEntries(
          Object.entries(row).map(([column, value]) => [
            column,
            isReference(column) && !key.some((one) => one === column)
              ? value
              : changed(foreign, table, column, value),
          ]),
        );
        const said = await afterChange((db) =>
          db
            .insertInto(named)
            .values(another as never)
            .execute(),
        );
        isNamed(said, "put in");
      });
    }

    it("what retention removes still counts, and its end is whole", async () => {
      assert.ok((await pruneAudit(control.store, testKeyring, new Date(Date.now() + 1000))) > 0);
      assert.equal(await broken(), null);
      const said = await afterChange((db) =>
        db
          .updateTable("tokens")
          .set({ scopes: ["workers_scripts:write"] })
          .execute(),
      );
      assert.match(said ?? "", /^the token .* is not as it was logged last/);
      assert.equal(await logRows(control.store, testKeyring), false, "all was logged before");
    });

    it("what an older version did is no alarm, and counts from the next start on", async () => {
      await control.store.housekeep(async ({ db }) => {
        await db.updateTable("hostClients").set({ mode: "optional" }).execute();
        await appendOlder(db);
      });
      assert.equal(await broken(), null);
      assert.equal(await logRows(control.store, testKeyring), true);
      assert.equal(await logRows(control.store, testKeyring), false);
      assert.equal(await broken(), null);
      const said = await afterChange((db) => db.deleteFrom("hostClients").execute());
      assert.match(said ?? "", /^the rule for clients of the host .* is missing/);
    });
  });
}

class Undone extends Error {}

/** Other rows that a row may point to, by column. */
async function otherRows(db: Database): Promise<ReadonlyMap<string, string>> {
  const one = (table: "accounts" | "certificates" | "accessApplications", name: string) =>
    db.selectFrom(table).select("id").where("name", "=", name).executeTakeFirstOrThrow();
  const person = await db
    .selectFrom("users")
    .select("id")
    .where("email", "=", "carl@example.com")
    .executeTakeFirstOrThrow();
  const { id: certificate } = await one("certificates", "other");
  const prepared = await db
    .selectFrom("identityAuthorities")
    .select("id")
    .where("state", "=", "prepared")
    .executeTakeFirstOrThrow();
  return new Map([
    ["accountId", (await one("accounts", "Shop")).id],
    ["userId", person.id],
    ["certificateId", certificate],
    ["authorityTies.authorityId", certificate],
    ["issuedIdentities.authorityId", prepared.id],
    ["applicationId", (await one("accessApplications", "other")).id],
  ]);
}

function isReference(column: string): boolean {
  return column.endsWith("Id") && !["clientId", "authorityId"].includes(column);
}

const nullableLists: ReadonlySet<string> = new Set([
  "allowedHosts",
  "policies",
  "requestIp",
  "spiffeIds",
]);

/** Another value that the column may have. */
function changed(
  others: ReadonlyMap<string, string>,
  table: string,
  column: string,
  value: unknown,
): unknown {
  const other = others.get(`${table}.${column}`) ?? others.get(column);
  if (other !== undefined) return other;
  if (Array.isArray(value)) return [...(value as unknown[]), "x"];
  if (typeof value === "object" && value !== null) return { ...value, x: ["x"] };
  if (typeof value === "number") return value + 1;
  if (value === null) return nullableLists.has(column) ? ["x"] : "x";
  assert.ok(typeof value === "string");
  return `${value}x`;
}

/** As versions wrote an entry that did not log what rows hold. */
async function appendOlder(db: Database): Promise<void> {
  await appendAudit(db, testKeyring, {
    by: { kind: "admin", id: null, email: "admin@localhost", address: null },
    action: "client.rules",
    accountId: null,
    resource: { type: "host", id: "h.example.com" },
  });
  const [last, previous] = await db
    .selectFrom("auditEntries")
    .selectAll()
    .orderBy("sequence", "desc")
    .limit(2)
    .execute();
  const { rows: _, ...entry } = JSON.parse(last!.body) as AuditEntry;
  const body = JSON.stringify(entry);
  const hash = chained(previous!.hash, body);
  const { sequence } = entry;
  await db
    .updateTable("auditEntries")
    .set({ body, hash })
    .where("sequence", "=", sequence)
    .execute();
  const sealed = testKeyring.seal(auditHeadPlace, JSON.stringify({ sequence, hash }));
  await db
    .updateTable("auditHeads")
    .set({ hash, sealed })
    .where("id", "=", auditHeadPlace.id)
    .execute();
}
