import assert from "node:assert/strict";
import { argon2Sync } from "node:crypto";
import { it } from "node:test";
import { hashPassword, makePassword, verifyPassword } from "./passwords.ts";

it("a password is stored as an argon2id hash with its own salt, and no other password matches", async () => {
  const password = "correct horse ".padEnd(256, "battery");
  const [hash, other] = await Promise.all([hashPassword(password), hashPassword(password)]);
  assert.match(hash, /^argon2id\$m=65536,t=3,p=1\$[\w-]{22}\$[\w-]{43}$/);
  assert.notEqual(other, hash);
  assert.ok(await verifyPassword(password, hash));
});

it("a hash is checked with the cost that it was made with, and only its password fits", async () => {
  const hash = stored("correct horse battery");
  assert.ok(await verifyPassword("correct horse battery", hash));
  for (const password of ["correct horse batterz", "", "correct horse battery "]) {
    assert.ok(!(await verifyPassword(password, hash)), password);
  }
  const dearer = stored("correct horse battery", 128, 10, 12);
  assert.ok(await verifyPassword("correct horse battery", dearer));
});

it("the same letters written another way are the same password", async () => {
  const hash = stored("caf\u00e9 caf\u00e9 caf\u00e9");
  assert.ok(await verifyPassword("cafe\u0301 cafe\u0301 cafe\u0301", hash));
});

it("of a password that is too long as much counts as a password may have", async () => {
  const hash = stored("x".repeat(256));
  assert.ok(await verifyPassword("x".repeat(257), hash));
  assert.ok(!(await verifyPassword("x".repeat(255), hash)));
});

it("no password matches for an unknown person, or where the stored text is not a hash", async () => {
  const whole = stored("anything at all");
  assert.ok(await verifyPassword("anything at all", whole));
  const broken = [undefined, `x${whole}`, `${whole}x`, whole.replace("t=1", "t=x")];
  const fit = broken.map((kept) => verifyPassword("anything at all", kept));
  assert.deepEqual(await Promise.all(fit), [false, false, false, false]);
});

/** A hash as it would be stored with these costs: 8 KiB of memory and one pass by default. */
function stored(password: string, memory = 8, passes = 1, parallelism = 1): string {
  const nonce = Buffer.alloc(16, 7);
  const costs = { memory, passes, parallelism, tagLength: 32 };
  const hash = argon2Sync("argon2id", { message: Buffer.from(password), nonce, ...costs });
  const kept = [nonce, hash].map((bytes) => bytes.toString("base64url")).join("$");
  return `argon2id$m=${memory},t=${passes},p=${parallelism}$${kept}`;
}

it("a password has 12 to 256 characters", async () => {
  await assert.rejects(hashPassword("elevenchars"), {
    code: "password_weak",
    message: "the password has 11 characters, which is not 12 to 256",
  });
  await assert.rejects(hashPassword("x".repeat(257)), { code: "password_weak" });
});

it("passwords that are made differ, and can be read out", () => {
  const made = makePassword();
  assert.match(made, /^[a-km-np-z2-9]{24}$/);
  assert.notEqual(makePassword(), made);
});
