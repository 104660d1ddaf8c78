import assert from "node:assert/strict";
import { test } from "node:test";
import { workerSpiffeId } from "countersign-origin";
import { environmentOf } from "./environment.ts";

function of(tags: readonly string[] | null | undefined): string | null {
  return environmentOf({ settings: { tags } });
}

test("a Worker's environment is what wrangler's tag says, where there is exactly one", () => {
  assert.equal(of(["cf:service=orders", "cf:environment=staging"]), "staging");
  assert.equal(of(["cf:environment=staging", "cf:environment=staging"]), "staging");
  for (const tags of [undefined, null, [], ["cf:service=orders"], ["environment=staging"]]) {
    assert.equal(of(tags), null);
  }
  assert.equal(of(["cf:environment=staging", "cf:environment=production"]), null);
  for (const name of ["", "\ud800"]) assert.equal(of([`cf:environment=${name}`]), null);
});

test("the longest environment there can be has room in a SPIFFE ID, and a longer one is none", () => {
  const longest = "\u{fffd}".repeat(64);
  assert.equal(of([`cf:environment=${longest}`]), longest);
  assert.equal(of([`cf:environment=${longest}x`]), null);
  const id = workerSpiffeId({
    trustDomain: "t".repeat(255),
    account: "a".repeat(32),
    worker: "\u{fffd}".repeat(64),
    environment: longest,
  });
  assert.ok(id.length <= 2048, `${id.length}`);
});
