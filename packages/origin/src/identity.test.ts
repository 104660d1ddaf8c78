import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import { readSpiffeId, readWorkerSpiffeId, workerSpiffeId } from "./identity.ts";

test("an identity survives being written and read, whatever the names are", () => {
  const name = fc
    .string({ unit: "grapheme", minLength: 1, maxLength: 60 })
    .filter((text) => text.isWellFormed());
  fc.assert(
    fc.property(name, name, fc.option(name), (account, worker, environment) => {
      const identity = { trustDomain: "example.org", account, worker, environment };
      const id = workerSpiffeId(identity);
      assert.notEqual(readSpiffeId(id), null);
      assert.deepEqual(readWorkerSpiffeId(id), identity);
    }),
  );
});

test("names that look like an encoded name are encoded themselves: no two names share an ID", () => {
  assert.equal(idOf("billing_v2"), "spiffe://example.org/account/a/worker/billing_v2");
  assert.notEqual(idOf("a/b"), idOf("_u.612f62"));
  assert.equal(readWorkerSpiffeId("spiffe://example.org/account/a/worker/_u.6262"), null);
});

test("what is not the ID of a Worker is none", () => {
  for (const id of [
    "",
    "spiffe://",
    "spiffe://Example.org/account/a/worker/b",
    "spiffe://example.org/account/a/worker/b/",
    "spiffe://example.org/account/a/worker/b?x=1",
    "spiffe://example.org/account/a/worker/%62",
    "spiffe://example.org/account/a/worker/..",
    "spiffe://example.org/account//worker/b",
    "spiffe://example.org/account/a/worker/b/environment",
    "spiffe://example.org/account/a/worker/b/environment/c/d",
    "spiffe://example.org:443/account/a/worker/b",
    "https://example.org/account/a/worker/b",
    `spiffe://example.org/account/a/worker/${"b".repeat(2048)}`,
  ]) {
    assert.equal(readWorkerSpiffeId(id), null, id);
  }
});

function idOf(worker: string): string {
  return workerSpiffeId({ trustDomain: "example.org", account: "a", worker, environment: null });
}
