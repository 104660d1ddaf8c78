import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Keyring } from "../keys/seal.ts";
import type { Change } from "../contract/change-feed.ts";
import { bootstrap } from "./bootstrap.ts";
import { storeSource } from "./change-feed.ts";
import { engines } from "../../test/helpers/database.ts";
import { openStore } from "./store.ts";
import { createToken, findToken, listTokens, revokeToken } from "./access/tokens.ts";

const keyring = new Keyring(Buffer.alloc(32, 7));
const now = new Date("2026-11-23T00:00:00Z");

describe("the store in a file", () => {
  it("makes the first account and its token once, and keeps only the token's hash", async () => {
    const folder = await mkdtemp(join(tmpdir(), "countersign-store-"));
    const path = join(folder, "countersign.db");
    try {
      const store = await openStore(path);
      store.sealWith(keyring);
      const first = await bootstrap(store, { scopes: ["account:read"], now });
      assert.match(first?.token ?? "", /^csn_[\w-]{40}$/);
      assert.match(first?.accountId ?? "", /^[0-9a-f]{32}$/);
      await store[Symbol.asyncDispose]();

      const again = await openStore(path);
      assert.equal(await bootstrap(again, { scopes: [], now }), null);
      const token = await findToken(again.db, first?.token ?? "");
      assert.equal(token?.accountId, first?.accountId);
      await again[Symbol.asyncDispose]();
      assert.equal((await readFile(path)).includes(first?.token ?? ""), false);
      assert.equal((await stat(path)).mode & 0o777, 0o600);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

for (const [engine, open] of Object.entries(engines)) {
  describe(`the store on ${engine}`, () => {
    it("revokes a token once", async () => {
      await using store = await open();
      const accountId = (await bootstrap(store, { scopes: [], now }))?.accountId ?? "";
      const { value: made } = await store.write(async ({ db }) => ({
        value: await createToken(db, {
          accountId,
          name: "ci",
          email: "ci@localhost",
          scopes: ["ssl_certs:write"],
          expiresOn: null,
          now,
        }),
        audit: null,
      }));
      assert.equal((await listTokens(store.db, accountId)).length, 2);
      const revoke = async (): Promise<boolean> =>
        (
          await store.write(async ({ db }) => ({
            value: await revokeToken(db, made.id, now),
            audit: null,
          }))
        ).value;
      assert.equal(await revoke(), true);
      assert.equal(await revoke(), false);
      assert.equal((await findToken(store.db, made.token))?.revokedOn, now.toISOString());
    });

    it("a write that throws changes nothing and is not in the feed", async () => {
      await using store = await open();
      const accountId = (await bootstrap(store, { scopes: [], now }))?.accountId ?? "";
      const failing = store.write(async ({ db, changed }) => {
        await db.updateTable("accounts").set({ name: "changed" }).execute();
        await changed({ kind: "trust", accountId });
        throw new Error("no");
      });
      await assert.rejects(failing, /^Error: no$/);
      const { name } = await store.db
        .selectFrom("accounts")
        .select("name")
        .executeTakeFirstOrThrow();
      assert.equal(name, "Countersign");
      assert.equal((await storeSource(store).snapshot()).cursor, 0);
    });

    it("the feed gives each change once, in order, from any cursor, as it is committed", async () => {
      await using store = await open();
      const source = storeSource(store);
      const script = (scriptName: string): Promise<{ cursor: number }> =>
        store.write(async ({ changed }) => {
          await changed({ kind: "script", accountId: "a", scriptName });
          return { value: null, audit: null };
        });
      await script("one");
      await script("two");
      await script("one");

      const stop = new AbortController();
      const seen: Change[] = [];
      const following = (async () => {
        for await (const change of source.changes(0, stop.signal)) {
          seen.push(change);
          if (seen.length === 2) void script("three");
          if (seen.length === 3) void script("four");
          if (seen.length === 4) stop.abort();
        }
      })();
      await following;
      assert.deepEqual(
        seen.map((change) => change.kind === "script" && [change.scriptName, change.cursor]),
        [
          ["two", 2],
          ["one", 3],
          ["three", 4],
          ["four", 5],
        ],
      );
      assert.equal((await source.snapshot()).cursor, 5);
    });

    it("a waiting feed ends when it is told to", async () => {
      await using store = await open();
      const stop = new AbortController();
      const iterator = storeSource(store).changes(0, stop.signal)[Symbol.asyncIterator]();
      const next = iterator.next();
      stop.abort();
      assert.equal((await next).done, true);
    });
  });
}
