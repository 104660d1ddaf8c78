import assert from "node:assert/strict";
import { test } from "node:test";
import { OutputShare } from "./output-share.ts";

test("a line is cut, a flood is left out and counted, and later lines are written again", () => {
  let now = 0;
  const share = new OutputShare(() => now);
  assert.equal(share.take("hello"), "hello");
  const long = share.take("x".repeat(1_000_000))!;
  assert.match(long, /^x{16384}… \(1000000 characters\)$/);
  let characters = 0;
  for (let i = 0; i < 5_000; i += 1) characters += share.take("y".repeat(10_000))?.length ?? 0;
  assert.ok(characters < 5 * 1024 * 1024, String(characters));
  assert.equal(share.take("z"), null);
  now += 1_000;
  assert.equal(share.take("later"), "later");
  assert.ok(share.leftOut() > 4_000);
  assert.equal(share.leftOut(), 0);
});
