import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { readProxyHeader } from "./proxy-protocol.ts";

const read = (text: string) => readProxyHeader(Buffer.from(text, "latin1"));
const signature = "0d0a0d0a000d0a515549540a";
const v2 = (hex: string) => readProxyHeader(Buffer.from(signature + hex, "hex"));

test("version 1 names the client, its port, and where the client's own bytes begin", () => {
  assert.deepEqual(read("PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\nGET /"), {
    source: { address: "203.0.113.9", port: 4711 },
    length: 42,
  });
  assert.deepEqual(read("PROXY TCP6 2001:db8::7 ::1 1 2\r\n"), {
    source: { address: "2001:db8::7", port: 1 },
    length: 32,
  });
  assert.deepEqual(read("PROXY UNKNOWN\r\n"), { source: null, length: 15 });
});

test("version 2 does, with additions that are skipped", () => {
  assert.deepEqual(v2("2111000fcb0071090a000001126701bb040000"), {
    source: { address: "203.0.113.9", port: 4711 },
    length: 31,
  });
  const six = "20010db8000000000000000000000007";
  assert.deepEqual(v2(`21210024${six}${six}126701bb`), {
    source: { address: "2001:db8::7", port: 4711 },
    length: 52,
  });
  assert.deepEqual(v2("20000000"), { source: null, length: 16 });
});

test("what is no header is left alone, and a broken one is told apart", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "POST", "\r\nX", "\x16\x03\x01"]) {
    assert.equal(read(text), "none", text);
  }
  for (const text of ["", "P", "PROXY", "PROXY TCP4 1.2.3.4", "\r\n\r\n"]) {
    assert.equal(read(text), "more", text);
  }
  for (const text of [
    "PROXY TCP4 2001:db8::7 ::1 1 2\r\n",
    "PROXY TCP4 203.0.113.9 10.0.0.1 99999 1\r\n",
    "PROXY TCP4 203.0.113.9  10.0.0.1 1 1\r\n",
    "PROXY UDP4 203.0.113.9 10.0.0.1 1 1\r\n",
    "PROXY UNKNOWNX\r\n",
    `PROXY ${"x".repeat(200)}`,
  ]) {
    assert.equal(read(text), "broken", text);
  }
  assert.equal(v2("31110000"), "broken", "another version");
  assert.equal(v2("2111000b"), "more");
  assert.equal(v2(`2111000b${"00".repeat(11)}`), "broken", "addresses cut off");
  assert.equal(v2("2111ffff"), "broken", "longer than any");
});

test("any bytes are judged, and a header never reaches beyond them", () => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 120 }).map((rest) => Buffer.from(rest)),
    fc
      .uint8Array({ maxLength: 80 })
      .map((rest) => Buffer.concat([Buffer.from(signature, "hex"), rest])),
    fc.string({ maxLength: 110 }).map((rest) => Buffer.from(`PROXY ${rest}\r\n`)),
  );
  fc.assert(
    fc.property(hostile, (bytes) => {
      const header = readProxyHeader(bytes);
      if (typeof header === "string") return;
      assert.ok(header.length <= bytes.length);
      // Every shorter piece of it waits for more.
      for (let i = 0; i < header.length; i++) {
        assert.equal(readProxyHeader(bytes.subarray(0, i)), "more");
      }
    }),
  );
});
