import assert from "node:assert/strict";
import { test } from "node:test";
import { anything, assert as always, property } from "fast-check";
import { storageFailure } from "./of-storage.ts";

test("errors of SQLite, the system and PostgreSQL have the code of what is wrong", () => {
  assert.equal(codeOf(Object.assign(new Error("full"), { errcode: 13 })), "disk_full");
  assert.equal(codeOf(Object.assign(new Error("malformed"), { errcode: 11 })), "database_damaged");
  // SQLITE_IOERR_WRITE, an extended code.
  assert.equal(codeOf(Object.assign(new Error("io"), { errcode: 778 })), "disk_failing");
  assert.equal(codeOf(Object.assign(new Error("full"), { code: "ENOSPC" })), "disk_full");
  assert.equal(codeOf(Object.assign(new Error("full"), { code: "53100" })), "disk_full");
  assert.equal(codeOf(Object.assign(new Error("0x00"), { code: "22021" })), "text_has_nul");
  assert.equal(codeOf(new TypeError("a bug")), null);
  assert.equal(codeOf(null), null);
});

test("a failure is made of anything, or nothing", () => {
  always(
    property(anything(), (error) => {
      storageFailure(error, "it");
    }),
  );
});

function codeOf(error: unknown): string | null {
  return storageFailure(error, "it")?.code ?? null;
}
