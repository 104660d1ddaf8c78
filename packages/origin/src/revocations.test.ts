import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import test from "node:test";
import { RevokedSerials } from "./revocations.ts";

test("what was added is found, and nothing else", () => {
  const revoked = new RevokedSerials();
  const serials = Array.from({ length: 5_000 }, (_, i) =>
    randomBytes(1 + (i % 20))
      .toString("hex")
      .toUpperCase(),
  );
  const others = Array.from({ length: 5_000 }, () => randomBytes(16).toString("hex").toUpperCase());
  for (const serial of serials) revoked.add(serial);
  assert.ok(serials.every((serial) => revoked.has(serial)));
  assert.ok(serials.every((serial) => revoked.has(serial.toLowerCase())));
  assert.ok(others.every((serial) => !revoked.has(serial)));
});

test("leading zeros do not make another number, and a prefix is another number", () => {
  const revoked = new RevokedSerials();
  revoked.add("00AB");
  revoked.add("AB");
  assert.equal(revoked.size, 1);
  assert.ok(revoked.has("0AB"));
  assert.equal(revoked.has("AB00"), false);
  revoked.add("0");
  assert.ok(revoked.has("00"));
});

test("what is no serial number is never found", () => {
  const revoked = new RevokedSerials();
  for (const text of ["", "xyz", "A".repeat(41), "-1", "1 2"]) {
    revoked.add(text);
    assert.equal(revoked.has(text), false);
  }
  assert.equal(revoked.size, 0);
});

test("all serial numbers can be listed, whatever their length", () => {
  const revoked = new RevokedSerials();
  const serials = ["1", "ABCDEF0123456789", "4F00000000000000000000000000000000000001"];
  for (const serial of [...serials, "00ab"]) revoked.add(serial);
  assert.deepEqual([...revoked].toSorted(), [...serials, "AB"].toSorted());
});
