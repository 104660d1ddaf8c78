import assert from "node:assert/strict";
import { test } from "node:test";
import { pino } from "pino";
import { engines, testKeyring as keyring } from "../../test/helpers/database.ts";
import { newKey } from "../control/hosts/access-keys.ts";
import { rotationOf, signerAt } from "../control/hosts/access-key-rotation.ts";
import { insertAccessKey, listAccessKeys, putAccessKeyInterval } from "../store/access/access.ts";
import { bootstrap } from "../store/bootstrap.ts";
import { rotateAccessKeys } from "./access-keys.ts";

const DAY = 86_400_000;
const log = pino({ level: "silent" });
const begin = new Date("2026-11-01T00:00:00Z");

const clock = () => new Date(begin.getTime() + 89 * DAY);

async function prepared() {
  const store = await engines["SQLite"]!();
  const first = await bootstrap(store, { scopes: [], now: begin });
  const accountId = first!.accountId;
  const key = await newKey(keyring, accountId, begin, begin);
  await store.housekeep(({ db }) => insertAccessKey(db, key));
  let now = begin;
  // Each look is that of a new process: all that it knows is in the store.
  const at = async (ms: number) => {
    now = new Date(begin.getTime() + ms);
    await rotateAccessKeys({ store, keyring, clock: () => now, log });
    const keys = await listAccessKeys(store.db, accountId);
    return { published: keys.map(({ id }) => id), signs: signerAt(keys, now)?.id };
  };
  return { store, accountId, first: key.id, at, dispose: () => store[Symbol.asyncDispose]() };
}

test("the next key of Access is published a day before it signs, the last one until what it signed is over", async () => {
  const { first, at, dispose } = await prepared();
  assert.deepEqual(await at(89 * DAY - 1), { published: [first], signs: first });
  const early = await at(89 * DAY);
  const [next] = early.published;
  assert.deepEqual(early, { published: [next, first], signs: first });
  assert.notEqual(next, first);
  assert.deepEqual(await at(90 * DAY - 1), early, "nothing more until its time");
  assert.deepEqual(await at(90 * DAY), { published: [next, first], signs: next });
  // An assertion is valid for a minute, and clocks may differ by five.
  assert.equal((await at(90 * DAY + 6 * 60_000 - 1)).published.length, 2);
  assert.deepEqual(await at(90 * DAY + 6 * 60_000), { published: [next], signs: next });
  await dispose();
});

test("an interval that an account has set counts from its next look on, longer or shorter", async () => {
  const { store, accountId, first, at, dispose } = await prepared();
  const set = (days: number) =>
    store.housekeep(({ db }) => putAccessKeyInterval(db, { accountId, days }));
  await set(120);
  assert.deepEqual(await at(119 * DAY - 1), { published: [first], signs: first });
  await set(21);
  // The rotation was due long ago, but the next key is still published for a day first.
  const late = await at(119 * DAY - 1);
  assert.deepEqual([late.published.length, late.signs], [2, first]);
  assert.equal((await at(120 * DAY - 1)).signs, late.published[0]);
  const after = await at(140 * DAY);
  assert.equal(after.published.length, 2, "21 days later the one after it is published");
  assert.equal(after.signs, late.published[0]);
  await dispose();
});

test("a platform that was away publishes the next key for a whole day all the same", async () => {
  const { first, at, dispose } = await prepared();
  const late = await at(400 * DAY);
  assert.deepEqual([late.published.length, late.signs], [2, first]);
  assert.equal((await at(401 * DAY - 1)).signs, first);
  assert.equal((await at(401 * DAY)).signs, late.published[0]);
  await dispose();
});

test("two processes that look at once make one next key", async () => {
  const { store, accountId, first, dispose } = await prepared();
  const look = () => rotateAccessKeys({ store, keyring, clock, log });
  await Promise.all([look(), look()]);
  const keys = await listAccessKeys(store.db, accountId);
  assert.equal(keys.length, 2);
  assert.deepEqual(rotationOf(keys, 90, clock()), { next: null, over: [] });
  assert.equal(signerAt(keys, clock())?.id, first);
  await dispose();
});
