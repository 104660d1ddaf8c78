import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure } from "../../failures/failures.ts";
import { RecentFailures } from "./recent-failures.ts";

const refused = new Failure("origin_refused");
const unreachable = new Failure("origin_unreachable");
const at = (host: string): string => `http://connect.countersign.invalid/${host}`;

test("why a connection failed can be asked for ten seconds, the newest reason", () => {
  let now = 1_000;
  const recent = new RecentFailures(() => now);
  recent.add("https://a.example:5432", refused);
  recent.add("https://a.example:5432", unreachable);
  assert.equal(recent.asked(at("a.example:5432")), unreachable);
  assert.equal(recent.asked(at("a.example")), null);
  now += 9_999;
  assert.equal(recent.asked(at("a.example:5432")), unreachable);
  now += 1;
  assert.equal(recent.asked(at("a.example:5432")), null);
});

test("what asks for something else is fetched", () => {
  const recent = new RecentFailures(() => 0);
  recent.add("https://a.example", refused);
  for (const url of ["https://a.example", "http://other.invalid/a.example", "http://connect."]) {
    assert.equal(recent.asked(url), undefined);
  }
});

test("64 are kept: the oldest goes, unless it has failed again", () => {
  const recent = new RecentFailures(() => 0);
  for (let i = 0; i < 64; i += 1) recent.add(`https://${i}`, refused);
  assert.equal(recent.asked(at("0")), refused);
  recent.add("https://1", unreachable);
  assert.equal(recent.asked(at("0")), refused);
  recent.add("https://new", refused);
  recent.add("https://newer", refused);
  for (const gone of ["0", "2"]) assert.equal(recent.asked(at(gone)), null);
  for (const kept of ["3", "63", "new"]) assert.equal(recent.asked(at(kept)), refused);
  assert.equal(recent.asked(at("1")), unreachable);
});
