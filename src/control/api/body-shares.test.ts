import assert from "node:assert/strict";
import { test } from "node:test";
import { BodyShares } from "./body-shares.ts";

const exhausted = { code: "api_bytes_exhausted" };

test("an account's calls hold its share of bytes and no more; another account is not concerned", () => {
  const shares = new BodyShares(100);
  const first = shares.open("a");
  const second = shares.open("a");
  first.add(60);
  second.add(40);
  assert.throws(() => second.add(1), exhausted);
  shares.open("b").add(100);
  first[Symbol.dispose]();
  second.add(60);
  assert.throws(() => second.add(1), exhausted);
});

test("what was refused is not counted, and what was given back is given back once", () => {
  const shares = new BodyShares(100);
  const first = shares.open("a");
  assert.throws(() => first.add(101), exhausted);
  first.add(100);
  first[Symbol.dispose]();
  const second = shares.open("a");
  second.add(100);
  first[Symbol.dispose]();
  assert.throws(() => shares.open("a").add(1), exhausted);
});
