import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Numbers } from "./mysql.ts";

const packets = fc.array(
  fc.record({
    sequence: fc.nat(255),
    // No first byte that decides.
    payload: fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => {
      bytes[0] = 1;
      return Buffer.from(bytes);
    }),
  }),
  { maxLength: 8 },
);

test("packets get other numbers, in whatever pieces they come, and nothing else of them changes", () => {
  fc.assert(
    fc.property(packets, fc.array(fc.nat(30)), fc.constantFrom(1, -1), (some, cuts, by) => {
      const numbers = new Numbers(by);
      const pieces = split(Buffer.concat(some.map(packet)), cuts);
      for (const piece of pieces) numbers.shift(piece);
      const moved = some.map(({ sequence, payload }) =>
        packet({ sequence: (sequence + by + 256) % 256, payload }),
      );
      assert.deepEqual(Buffer.concat(pieces), Buffer.concat(moved));
      assert.equal(numbers.decided, false);
    }),
  );
});

test("once the server has decided, numbers stay as they are", () => {
  for (const verdict of [0x00, 0xff]) {
    const numbers = new Numbers(-1);
    const ok = packet({ sequence: 3, payload: Buffer.from([verdict, 0]) });
    const later = packet({ sequence: 1, payload: Buffer.from("rows") });
    const all = Buffer.concat([ok, later]);
    for (const piece of split(all, [2, 1, 3])) numbers.shift(piece);
    assert.deepEqual([all[3], all[ok.length + 3]], [2, 1]);
    assert.equal(numbers.decided, true);
  }
});

interface Packet {
  readonly sequence: number;
  readonly payload: Buffer;
}

function packet({ sequence, payload }: Packet): Buffer {
  const head = Buffer.from([0, 0, 0, sequence]);
  head.writeUIntLE(payload.length, 0, 3);
  return Buffer.concat([head, payload]);
}

/** Views of one buffer, as a socket's reads are not: each is changed in its place. */
function split(all: Buffer, cuts: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  let at = 0;
  for (const cut of cuts) {
    pieces.push(all.subarray(at, at + cut));
    at += cut;
  }
  return [...pieces, all.subarray(at)];
}
