import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { Duplex, duplexPair } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import * as fc from "fast-check";
import { MysqlSwitch, Numbers } from "./mysql.ts";

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

for (const flooding of ["server", "driver"]) {
  test(`before a driver is let in, a ${flooding} is read no faster than the other side reads`, async () => {
    const read = { bytes: 0 };
    const [server, socket] = duplexPair();
    server.write(packet({ sequence: 0, payload: greeting() }));
    const first = packet({ sequence: 1, payload: answer() });
    const client = sends(first, flooding === "driver", read);
    const session = new MysqlSwitch(
      { socket: client, accept: () => {}, tell: null },
      { host: "db", port: 3306 },
      10_000,
    );
    assert.equal(await session.greeted(socket as Socket, 10_000), true);
    await session.ask(socket as Socket);
    const upstream = sends(packet({ sequence: 3, payload: MORE }), flooding === "server", read);
    void session.signIn(upstream);
    for (let i = 0; i < 1_000; i += 1) await turn();
    assert.ok(read.bytes < 500_000, `${read.bytes} bytes were read`);
    client.destroy();
    upstream.destroy();
  });
}

/** Of a server that has not decided. */
const MORE = Buffer.alloc(10_000, 1);

/** One side: it sends this, and then 20 MB or no more, and reads nothing. */
function sends(first: Buffer, isFlood: boolean, read: { bytes: number }): Duplex {
  const more = packet({ sequence: 3, payload: MORE });
  let next: Buffer | null = first;
  return new Duplex({
    read() {
      if (next === null) return;
      const chunk = Buffer.from(next);
      read.bytes += chunk.length;
      next = isFlood && read.bytes < 20_000_000 ? more : null;
      this.push(chunk);
    },
    write: () => {},
  });
}

/** With TLS. */
function greeting(): Buffer {
  const head = Buffer.concat([Buffer.from("\n8.0.0-test\0"), Buffer.alloc(13)]);
  return Buffer.concat([head, Buffer.from([0x00, 0x0a]), Buffer.alloc(20)]);
}

function answer(): Buffer {
  const head = Buffer.alloc(32);
  head.writeUInt32LE(0x0200);
  return Buffer.concat([head, Buffer.from("root\0\0")]);
}

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
