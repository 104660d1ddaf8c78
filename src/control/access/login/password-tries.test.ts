import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { createAccount } from "../../../store/access/accounts.ts";
import { createUser, setMembership } from "../../../store/access/users.ts";
import { openStore, type Store } from "../../../store/store.ts";
import { PasswordTries } from "./password-tries.ts";

const ADA = "ada@example.com";
const NOBODY = "nobody@example.com";
let folder: string;
let store: Store;
let ada: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-tries-"));
  store = await openStore(join(folder, "db"));
  ada = await store.housekeep(async ({ db }) => {
    const now = new Date();
    const account = await createAccount(db, { name: "a", subdomain: null, now });
    const { id } = await createUser(db, { email: ADA, passwordHash: "hash", now });
    const [accountId, createdOn] = [account.id, now.toISOString()];
    await setMembership(db, { userId: id, accountId, role: "deployer", createdOn });
    await createUser(db, { email: NOBODY, passwordHash: "hash", now });
    return id;
  });
});
after(async () => {
  await store[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Everybody's password is `right`. The result is the person's id, or the failure's code. */
function world(): (email: string, password: string, address: string | null) => Promise<string> {
  const tries = new PasswordTries(store, async (password, stored) => {
    return password === "right" && stored === "hash";
  });
  return (email, password, address) =>
    tries.check(email, password, address).catch(({ code }: { code: string }) => code);
}

test("who gives the right password gets in, however the address is written", async () => {
  const check = world();
  assert.equal(await check(ADA, "right", "192.0.2.1"), ada);
  assert.equal(await check("ADA@Example.com", "right", null), ada);
  assert.equal(await check(ADA, "wrong", "192.0.2.1"), "sign_in_failed");
  assert.equal(await check("eve@example.com", "right", "192.0.2.1"), "sign_in_failed");
});

test("who belongs to no account any more does not get in", async () => {
  assert.equal(await world()(NOBODY, "right", "192.0.2.1"), "sign_in_failed");
});

test("ten wrong passwords for one person from one address, and that person waits there, not elsewhere", async () => {
  const check = world();
  // The IPv6 addresses of one network count as one address, and an email address in upper case as the same person.
  for (let i = 0; i < 10; i += 1) {
    const email = i % 2 === 0 ? ADA : ADA.toUpperCase();
    assert.equal(await check(email, "wrong", `2001:db8::${i + 1}`), "sign_in_failed");
  }
  assert.equal(await check(ADA, "right", "2001:db8::99"), "too_many_tries");
  assert.equal(await check(NOBODY, "wrong", "2001:db8::99"), "sign_in_failed");
  assert.equal(await check(ADA, "right", "2001:db8:0:1::1"), ada);
});

test("those whose address is not known are one address", async () => {
  const check = world();
  for (let i = 0; i < 10; i += 1) {
    assert.equal(await check(ADA, "wrong", i % 2 === 0 ? null : ""), "sign_in_failed");
  }
  assert.equal(await check(ADA, "right", null), "too_many_tries");
});

test("of a name that is too long as much counts as an e-mail address may have", async () => {
  const check = world();
  for (let i = 0; i < 10; i += 1) {
    assert.equal(await check(`${"x".repeat(254)}${i}`, "wrong", "192.0.2.1"), "sign_in_failed");
  }
  assert.equal(await check("x".repeat(254), "wrong", "192.0.2.1"), "too_many_tries");
  assert.equal(await check("x".repeat(253), "wrong", "192.0.2.1"), "sign_in_failed");
});

test("right passwords are not counted", async () => {
  const check = world();
  for (let i = 0; i < 70; i += 1) assert.equal(await check(ADA, "right", "192.0.2.1"), ada);
  for (let i = 0; i < 10; i += 1) {
    assert.equal(await check(ADA, "wrong", "192.0.2.1"), "sign_in_failed");
  }
  assert.equal(await check(ADA, "right", "192.0.2.2"), ada);
});

test("tries at once are as many as one after the other", async () => {
  const check = world();
  const many = Array.from({ length: 12 }, () => check(ADA, "wrong", "192.0.2.1"));
  const late = (await Promise.all(many)).filter((code) => code === "too_many_tries");
  assert.equal(late.length, 2);
});

test("a person whose password is guessed at from everywhere gets in from where she signed in before, and only there", async () => {
  const check = world();
  assert.equal(await check(ADA, "right", "192.0.2.1"), ada);
  for (let i = 0; i < 60; i += 1) {
    assert.equal(await check(ADA, "wrong", `198.51.100.${i}`), "sign_in_failed");
  }
  assert.equal(await check(ADA, "right", "192.0.2.2"), "too_many_tries");
  assert.equal(await check(ADA, "right", "198.51.100.1"), "too_many_tries");
  assert.equal(await check(NOBODY, "wrong", "192.0.2.2"), "sign_in_failed");
  assert.equal(await check(ADA, "right", "192.0.2.1"), ada);
});

test("an address may send 30 wrong passwords, for any persons; other addresses are not affected", async (t) => {
  const check = world();
  for (let i = 0; i < 30; i += 1) {
    assert.equal(await check(`p${i}@example.com`, "wrong", "192.0.2.1"), "sign_in_failed");
  }
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let said: string | null = null;
  const late = check("p31@example.com", "wrong", "192.0.2.1").then((code) => (said = code));
  for (let i = 0; i < 20; i += 1) await turn();
  t.mock.timers.tick(1_999);
  await turn();
  assert.equal(said, null, "the answer is held back");
  t.mock.timers.tick(1);
  assert.equal(await late, "too_many_tries");
  assert.equal(await check("p31@example.com", "wrong", "192.0.2.2"), "sign_in_failed");
  assert.equal(await check(ADA, "right", "192.0.2.1"), ada, "right ones are not held back");
});
