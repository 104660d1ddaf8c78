import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engines } from "../../test/helpers/database.ts";
import { bootstrap } from "./bootstrap.ts";
import { setAccountLimits } from "./access/accounts.ts";
import type { Database } from "./database.ts";
import { prepared } from "./prepared.ts";

const now = new Date("2026-11-25T12:00:00Z");

interface Wanted {
  readonly name?: string;
  readonly id: string;
}

for (const [engine, open] of Object.entries(engines)) {
  describe(`prepared queries, on ${engine}`, () => {
    it("take the values of each call, and are built once for the values that are given", async () => {
      await using store = await open();
      const id = (await bootstrap(store, { scopes: [], now }))!.accountId;
      let built = 0;
      const find = prepared((db, { id: wanted, name }: Wanted) => {
        built++;
        return db
          .selectFrom("accounts")
          .select("id")
          .$if(name !== undefined, (query) => query.where("name", "=", name!))
          .where("id", "=", wanted);
      });
      const found = async (wanted: Wanted) => (await find(store.db, wanted)).length;
      assert.equal(await found({ id }), 1);
      assert.equal(await found({ id: "x" }), 0);
      assert.equal(built, 1);
      assert.equal(await found({ id, name: "Countersign" }), 1);
      assert.equal(await found({ name: id, id: "Countersign" }), 0);
      assert.equal(await found({ id, name: "other" }), 0);
      assert.equal(await found({ name: "Countersign", id }), 1);
      assert.ok(built <= 3);
    });

    it("read JSON columns, and what their own transaction has changed", async () => {
      await using store = await open();
      const id = (await bootstrap(store, { scopes: [], now }))!.accountId;
      const limits = prepared((db, { id: wanted }: Wanted) =>
        db.selectFrom("accounts").select("limits").where("id", "=", wanted),
      );
      const read = async (db: Database) => (await limits(db, { id }))[0]?.limits;
      assert.deepEqual(await read(store.db), {});
      await store.housekeep(async ({ db }) => {
        await setAccountLimits(db, id, { certificates: 7 });
        assert.deepEqual(await read(db), { certificates: 7 });
      });
    });

    it("change nothing", async () => {
      await using store = await open();
      const id = (await bootstrap(store, { scopes: [], now }))!.accountId;
      const remove = prepared((db, { id: wanted }: Wanted) =>
        db.deleteFrom("accounts").where("id", "=", wanted),
      );
      await assert.rejects(
        store.housekeep(({ db }) => remove(db, { id })),
        /only a select/,
      );
      await assert.rejects(remove(store.db, { id }), /changed by its write/);
    });
  });
}
