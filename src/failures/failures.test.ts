import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure, failures, type FailureEntry } from "./failures.ts";

const entries: [string, FailureEntry][] = Object.entries(failures);

test("every number that is ours belongs to one failure", () => {
  const numbers = entries.map(([, { number }]) => number).filter((number) => number >= 7_000_000);
  const twice = numbers.filter((number, index) => numbers.indexOf(number) !== index);
  assert.deepEqual(twice, []);
});

test("every failure says what happened, why, and what to do", () => {
  for (const [code, { title, cause, fix, status }] of entries) {
    assert.match(code, /^[a-z0-9]+(_[a-z0-9]+)*$/);
    assert.ok(!title.endsWith("."), `the title of ${code} ends with a full stop`);
    assert.match(cause, /[.)]$/, `the cause of ${code} is no sentence`);
    assert.match(fix, /[.)]$/, `the fix of ${code} is no sentence`);
    assert.ok(status >= 400 && status <= 599, `the status of ${code}`);
  }
});

test("a failure without a message of its own has the table's", () => {
  const failure = new Failure("data_folder_in_use");
  assert.equal(failure.message, failures.data_folder_in_use.title);
  assert.equal(failure.fix, failures.data_folder_in_use.fix);
});
