import assert from "node:assert/strict";
import { test } from "node:test";
import { readRules } from "./access-rules.ts";

test("a rule keeps what it says, and nothing that was sent beside it", () => {
  const more = "x".repeat(1_000);
  for (const kind of ["everyone", "any_valid_service_token"]) {
    assert.deepEqual(readRules([{ [kind]: { more } }]), [{ [kind]: {} }]);
  }
  assert.deepEqual(readRules([{ ip: { ip: "192.0.2.0/24", more } }]), [
    { ip: { ip: "192.0.2.0/24" } },
  ]);
});
