import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  appendAudit,
  type AuditEntry,
  type AuditHead,
  chained,
} from "../src/store/access/audit.ts";
import { checkAudit, isWholeNow } from "../src/store/access/audit-check.ts";
import { pruneAudit } from "../src/store/access/audit-prune.ts";
import { guards } from "../src/store/access/guarded-rows.ts";
import { logRows } from "../src/store/access/log-rows.ts";
import type { Database } from "../src/store/database.ts";
import { auditHeadPlace } from "../src/keys/places.ts";
import { startControl, type TestControl } from "./helpers/control.ts";
import { engines, testKeyring } from "./helpers/database.ts";
import { depth } from "./helpers/depth.ts";
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
        // What is found does not depend on the engine, only that rows are read there as they are here.
        const tried = columns.slice(0, engine === "SQLite" ? undefined : depth(2, columns.length));
        for (const column of tried) {
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

for (const [engine, open] of Object.entries(engines)) {
  describe(`rows that the API changes after somebody did in the database alone, on ${engine}`, () => {
    let control: TestControl;
    let zone: string;
    let noted: AuditHead;
    before(async () => {
      control = await startControl({ open });
      const named = { name: "example.com", account: { id: control.accountId } };
      zone = (await control.call("POST", "/zones", named)).result.id as string;
      await set("min_tls_version", "1.2");
      noted = (await check()).head;
    });
    after(() => control[Symbol.asyncDispose]());

    const check = (known: AuditHead | null = null) =>
      checkAudit(control.store.db, testKeyring, known);
    const set = async (setting: string, value: string): Promise<void> => {
      const answer = await control.call("PATCH", `/zones/${zone}/settings/${setting}`, { value });
      assert.equal(answer.success, true, JSON.stringify(answer.errors));
    };
    const remove = async (): Promise<void> => {
      assert.equal((await control.call("DELETE", `/zones/${zone}`)).success, true);
    };
    const ofSetting = { zone: "example.com", setting: "min_tls_version" } as const;
    const added = { zone: "example.com", setting: "always_use_https", value: '"on"' } as const;

    for (const [how, { byHand, next, said }] of Object.entries({
      changed: {
        byHand: (db: Database): Promise<unknown> =>
          db.updateTable("zoneSettings").set({ value: '"1.0"' }).execute(),
        next: () => set("min_tls_version", "1.3"),
        said: "the setting of the zone example.com/min_tls_version was changed",
      },
      "taken out": {
        byHand: (db: Database): Promise<unknown> => db.deleteFrom("zoneSettings").execute(),
        next: () => set("min_tls_version", "1.2"),
        said: `the setting of the zone ${ofSetting.zone}/${ofSetting.setting} was taken out`,
      },
      "put in": {
        byHand: (db: Database): Promise<unknown> =>
          db
            .insertInto("zoneSettings")
            .values({ ...added, accountId: control.accountId, modifiedOn: "2026-11-01T00:00:00Z" })
            .execute(),
        next: () => set("always_use_https", "off"),
        said: "the setting of the zone example.com/always_use_https was put in",
      },
      "changed and then deleted": {
        byHand: (db: Database): Promise<unknown> =>
          db.updateTable("zones").set({ name: "b.example" }).execute(),
        next: remove,
        said: "the zone [0-9a-f]{32} was changed",
      },
    })) {
      it(`a row that was ${how} is still found`, async () => {
        await control.store.housekeep(({ db }) => byHand(db));
        assert.equal((await check(noted)).where, "rows");
        await next();
        const { broken, where, head } = await check(noted);
        assert.equal(where, "earlier rows", broken ?? "");
        const sentence = `^${said} in the database alone, before entry ${head.sequence} changed it$`;
        assert.match(broken!, new RegExp(sentence));
        assert.equal((await check(head)).broken, null, "what was known before is left out");
        noted = head;
      });
    }

    it("and after retention has removed the entry", async () => {
      const said = (await check()).broken;
      assert.match(said ?? "", /was changed in the database alone/);
      assert.ok((await pruneAudit(control.store, testKeyring, new Date(Date.now() + 1000))) > 0);
      assert.equal((await check()).broken, said);
      assert.equal(isWholeNow(await check()), true);
    });
  });
}

class Undone extends Error {}

/** Other rows that a row may point to, by column. */
async function otherRows(db: Database): Promise<ReadonlyMap<string, string>> {
  const one = (
    table: "accounts" | "certificates" | "accessApplications" | "scripts",
    name: string,
  ) => db.selectFrom(table).select("id").where("name", "=", name).executeTakeFirstOrThrow();
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
    ["scriptId", (await one("scripts", "other")).id],
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
