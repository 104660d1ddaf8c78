import assert from "node:assert/strict";
import { test } from "node:test";
import { Pieces } from "./pieces.ts";

function pieces(): { all: Pieces; written: string[]; many: () => number } {
  const written: string[] = [];
  let count = 0;
  const all = new Pieces(
    (chunk) => written.push(chunk.toString()),
    () => (count += 1),
  );
  return { all, written, many: () => count };
}

test("small pieces wait, go on in one, and only the first has somebody called", () => {
  const { all, written } = pieces();
  assert.deepEqual(
    ["a", "b", "c"].map((text) => all.take(Buffer.from(text))),
    [true, false, false],
  );
  assert.deepEqual(written, []);
  all.passOn();
  all.passOn();
  assert.deepEqual(written, ["abc"]);
  assert.equal(all.take(Buffer.from("d")), true);
});

test("a piece of a kilobyte goes on at once, after those that came before it", () => {
  const { all, written } = pieces();
  const large = "x".repeat(1_024);
  assert.equal(all.take(Buffer.from(large)), false);
  assert.equal(all.take(Buffer.from("a")), true);
  all.take(Buffer.from(large));
  assert.equal(all.take(Buffer.from(large.slice(1))), true);
  assert.deepEqual(written, [large, "a", large]);
});

test("256 small pieces at once go on, and are told of", () => {
  const { all, written, many } = pieces();
  for (let i = 0; i < 600; i += 1) all.take(Buffer.from("a"));
  assert.deepEqual(written, ["a".repeat(256), "a".repeat(256)]);
  assert.equal(many(), 2);
  all.passOn();
  assert.equal(written[2], "a".repeat(88));
});
