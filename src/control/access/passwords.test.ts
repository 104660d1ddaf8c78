import assert from "node:assert/strict";
import { it } from "node:test";
import { hashPassword, makePassword, verifyPassword } from "./passwords.ts";

it("a password is kept as an argon2id hash of its own, and only it fits", async () => {
  const hash = await hashPassword("correct horse battery");
  assert.match(hash, /^argon2id\$m=65536,t=3,p=1\$[\w-]{22}\$[\w-]{43}$/);
  assert.notEqual(await hashPassword("correct horse battery"), hash);
  assert.ok(await verifyPassword("correct horse battery", hash));
  assert.ok(!(await verifyPassword("correct horse batterz", hash)));
  assert.ok(!(await verifyPassword("", hash)));
});

it("the same letters written another way are the same password", async () => {
  const hash = await hashPassword("caf\u00e9 caf\u00e9 caf\u00e9");
  assert.ok(await verifyPassword("cafe\u0301 cafe\u0301 cafe\u0301", hash));
});

it("nobody has no password, which takes as long to say", async () => {
  assert.ok(!(await verifyPassword("anything at all", undefined)));
});

it("a short password is refused", async () => {
  await assert.rejects(hashPassword("elevenchars"), /11 characters/);
});

it("passwords that are made differ, and can be read out", () => {
  const made = makePassword();
  assert.match(made, /^[a-km-np-z2-9]{24}$/);
  assert.notEqual(makePassword(), made);
});
