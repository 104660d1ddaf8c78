import assert from "node:assert/strict";
import { test } from "node:test";
import { testOpening } from "../../../test/helpers/database-opening.ts";
import type { DatabaseProtocol } from "../../contract/database.ts";
import { Failure, failures } from "../../failures/failures.ts";
import { framed } from "./mysql-packets.ts";
import { message } from "./postgres-messages.ts";
import { PROTOCOLS } from "./socket.ts";

/** What all three say in a sign-in that goes well. */
interface Said {
  readonly driver: Buffer;
  /** Before TLS, and within it. */
  readonly clear: Buffer;
  readonly server: Buffer;
}

const GREETING = Buffer.concat([
  Buffer.from("\x0a8.4.0\0", "latin1"),
  Buffer.alloc(4, 1),
  Buffer.from("12345678\0\xff\xff\x2d\x02\0\xff\x00\x15", "latin1"),
  Buffer.alloc(10),
  Buffer.from("123456789012\0mysql_native_password\0"),
]);

const SAID: Readonly<Record<DatabaseProtocol, Said>> = {
  postgres: {
    driver: Buffer.from("\0\0\0\x12\0\x03\0\0user\0any\0\0", "latin1"),
    clear: Buffer.from("S"),
    server: Buffer.concat([
      message("N", Buffer.from("SNOTICE\0Mhello\0\0")),
      message("R", Buffer.from([0, 0, 0, 3])),
      message("R", Buffer.from([0, 0, 0, 5, 1, 2, 3, 4])),
      message("R", Buffer.from([0, 0, 0, 0])),
    ]),
  },
  mysql: {
    driver: framed(
      1,
      Buffer.concat([
        Buffer.from([0x0d, 0xa2, 0x1a, 0]),
        Buffer.alloc(28),
        Buffer.from("any\0\x03pwdorders\0mysql_native_password\0", "latin1"),
      ]),
    ),
    clear: framed(0, GREETING),
    server: Buffer.concat([
      framed(3, Buffer.from("\xfecaching_sha2_password\x0012345678901234567890\0", "latin1")),
      framed(5, Buffer.from([1, 4])),
      framed(7, Buffer.from([0, 0, 0, 2, 0, 0, 0])),
    ]),
  },
};

/** Each side says this and ends. @returns the failure's code, or `open` */
async function signedIn(
  protocol: DatabaseProtocol,
  said: Said,
  bytewise: boolean,
): Promise<string> {
  const one = testOpening(protocol);
  for (const [stream, bytes] of [
    [one.driver, said.driver],
    [one.clear, said.clear],
    [one.server, said.server],
  ] as const) {
    stream.resume();
    const pieces = bytewise ? [...bytes].map((byte) => Buffer.from([byte])) : [bytes];
    for (const piece of pieces) stream.write(piece);
    stream.end();
  }
  try {
    await PROTOCOLS[protocol].open(one.reader, one.opening);
    return "open";
  } catch (error) {
    if (error instanceof Failure) return error.code;
    // An error of a stream: the session tells it as what the origin did.
    assert.equal((error as NodeJS.ErrnoException).code, "ECONNRESET", String(error));
    return "ECONNRESET";
  }
}

/** Always the same numbers. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const LENGTHS = [0, 1, 0x7f, 0x80, 0xff];

function changed(bytes: Buffer, next: (below: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  for (let n = next(3); n >= 0; n -= 1) {
    copy[next(copy.length)] = next(2) === 0 ? next(256) : LENGTHS[next(LENGTHS.length)]!;
  }
  return copy;
}

for (const protocol of ["postgres", "mysql"] as const) {
  const said = SAID[protocol];

  test(`${protocol}: who signs in is let in, also a byte at a time`, async () => {
    assert.equal(await signedIn(protocol, said, false), "open");
    assert.equal(await signedIn(protocol, said, true), "open");
  });

  test(`${protocol}: what ends at any byte, of any side, is told with a code`, async () => {
    for (const side of ["driver", "clear", "server"] as const) {
      for (let length = 0; length < said[side].length; length += 1) {
        const cut = { ...said, [side]: said[side].subarray(0, length) };
        const code = await signedIn(protocol, cut, length % 2 === 1);
        assert.notEqual(code, "open", `${side} ${length}`);
        if (side === "driver") assert.equal(code, "database_driver_protocol", `${length}`);
      }
    }
  });

  test(`${protocol}: whatever any side says, it is let in or told with a code`, async () => {
    const codes = new Set<string>();
    const next = numbers(7);
    for (let round = 0; round < 600; round += 1) {
      const side = (["driver", "clear", "server"] as const)[round % 3]!;
      const other = { ...said, [side]: changed(said[side], next) };
      const code = await signedIn(protocol, other, round % 5 === 0);
      assert.ok(code === "open" || code === "ECONNRESET" || code in failures, code);
      codes.add(code);
    }
    for (const code of ["open", "database_driver_protocol", "database_protocol"]) {
      assert.ok(codes.has(code), code);
    }
  });
}
