import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { embeddedAddresses } from "./embedded.ts";

test("each form of IPv6 gives the IPv4 address that a network would make of it", () => {
  for (const [address, inside] of [
    ["::127.0.0.1", ["127.0.0.1"]],
    ["::ffff:192.0.2.33", ["192.0.2.33"]],
    ["::ffff:c000:221", ["192.0.2.33"]],
    ["::ffff:0:192.0.2.33", ["192.0.2.33"]],
    ["64:ff9b::192.0.2.33", ["192.0.2.33"]],
    ["2002:c000:221::1", ["192.0.2.33"]],
    // RFC 4380, section 4: the client's address with every bit turned over.
    ["2001:0:4136:e378:8000:63bf:3fff:fdd2", ["192.0.2.45"]],
  ] as const) {
    assert.deepEqual(embeddedAddresses(address), inside, address);
  }
});

test("NAT64's own prefix holds an address at one of four places (RFC 6052, section 2.2)", () => {
  const one = [192, 0, 2, 33].map((byte) => byte.toString(16).padStart(2, "0"));
  const [a, b, c, d] = one;
  for (const address of [
    `64:ff9b:1:${a}${b}:00${c}:${d}00::`,
    `64:ff9b:1:00${a}:00${b}:${c}${d}::`,
    `64:ff9b:1:0:00${a}:${b}${c}:${d}00::`,
    `64:ff9b:1::${a}${b}:${c}${d}`,
  ]) {
    assert.equal(embeddedAddresses(address).length, 4);
    assert.ok(embeddedAddresses(address).includes("192.0.2.33"), address);
  }
});

test("what embeds nothing gives nothing", () => {
  for (const address of ["::", "::1", "192.0.2.33", "2606:4700::1", "fe80::1", "example.com", ""]) {
    assert.deepEqual(embeddedAddresses(address), [], address);
  }
});

test("any IPv4 address comes out of a mapped and of a 6to4 one as it went in", () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      assert.deepEqual(embeddedAddresses(`::ffff:${address}`), [address]);
      const [a, b, c, d] = address.split(".").map(Number) as [number, number, number, number];
      const groups = [a * 256 + b, c * 256 + d].map((group) => group.toString(16));
      assert.deepEqual(embeddedAddresses(`2002:${groups.join(":")}::`), [address]);
    }),
  );
});
