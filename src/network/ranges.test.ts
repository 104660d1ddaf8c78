import assert from "node:assert/strict";
import { it } from "node:test";
import {
  allowsAddress,
  isCidr,
  listOf,
  neighbourhood,
  plainAddress,
  Ranges,
  within,
} from "./ranges.ts";

it("a token without a list works from anywhere, one with a list only from there", () => {
  assert.ok(allowsAddress({}, "203.0.113.9"));
  assert.ok(allowsAddress({}, null));
  const office = { in: ["203.0.113.0/24", "2001:db8::/32"], not_in: ["203.0.113.7"] };
  assert.ok(allowsAddress(office, "203.0.113.9"));
  assert.ok(allowsAddress(office, "2001:db8::1"));
  for (const other of ["203.0.113.7", "203.0.114.1", "2001:db9::1", null, "nonsense"]) {
    assert.ok(!allowsAddress(office, other), String(other));
  }
  assert.ok(allowsAddress({ not_in: ["10.0.0.0/8"] }, "192.0.2.1"));
  assert.ok(!allowsAddress({ not_in: ["10.0.0.0/8"] }, "10.1.2.3"));
});

it("an IPv4 address over an IPv6 socket is the IPv4 address", () => {
  assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1");
  assert.equal(plainAddress("2001:db8::1"), "2001:db8::1");
});

it("text that is not an address or CIDR is told apart", () => {
  for (const good of ["192.0.2.1", "192.0.2.0/24", "::1", "2001:db8::/32", "0.0.0.0/0"]) {
    assert.ok(isCidr(good), good);
  }
  for (const bad of ["", "192.0.2.1/33", "192.0.2.1/", "192.0.2/24", "::/129", "a/8", "::1/1/1"]) {
    assert.ok(!isCidr(bad), bad);
  }
});

it("tries from one IPv6 network count together, from one IPv4 address alone", () => {
  assert.equal(neighbourhood("192.0.2.1"), "192.0.2.1");
  assert.equal(neighbourhood("2001:db8:1:2::7"), neighbourhood("2001:db8:1:2:ffff::1"));
  assert.notEqual(neighbourhood("2001:db8:1:2::7"), neighbourhood("2001:db8:1:3::7"));
  assert.equal(neighbourhood("::1"), "0:0:0:0::/64");
});

it("a list of addresses is within another, or when in doubt it is not", () => {
  const wide = { in: ["10.0.0.0/8", "2001:db8::/32"], not_in: ["10.9.0.0/16"] };
  for (const narrow of [
    wide,
    { in: ["10.1.0.0/16"] },
    { in: ["10.1.2.3"] },
    { in: ["2001:db8:1::/48"] },
    { in: ["10.0.0.0/8"], not_in: ["10.8.0.0/15"] },
  ]) {
    assert.equal(within(narrow, wide), true, JSON.stringify(narrow));
  }
  for (const broad of [
    {},
    { in: [] },
    { in: ["10.0.0.0/8"] },
    { in: ["10.9.1.1"] },
    { in: ["0.0.0.0/0"], not_in: ["10.9.0.0/16"] },
    { in: ["10.1.0.0/16", "11.0.0.0/8"] },
    { in: ["::/0"] },
    { not_in: ["10.9.0.0/16"] },
  ]) {
    assert.equal(within(broad, wide), false, JSON.stringify(broad));
  }
  assert.equal(within({ not_in: ["10.0.0.0/8"] }, { not_in: ["10.1.0.0/16"] }), true);
  assert.equal(within({}, { not_in: ["10.1.0.0/16"] }), false);
});

it("the first half of an IPv6 address is its neighbourhood, however it is shortened", () => {
  for (const [address, network] of [
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8::5:6", "2001:db8:0:0::/64"],
    ["1:2:3:4:5:6:7::", "1:2:3:4::/64"],
    ["::4:5:6:7:8", "0:0:0:4::/64"],
    ["fe80::1%eth0", "fe80:0:0:0::/64"],
    ["nonsense", "nonsense"],
  ] as const) {
    assert.equal(neighbourhood(address), network, address);
  }
});

it("a list knows both families, and throws for what is no range where it must be one", () => {
  const text = /^TypeError: "10\.0\.0\.0\/33" is not an address or a CIDR range$/;
  assert.throws(
    () => listOf(["10.0.0.0/33"]),
    (error) => text.test(String(error)),
  );
  for (const bad of ["10.0.0.0/a8", "10.0.0.0/8a", "10.0.0.0/-1", "10.0.0.0/0008"]) {
    assert.throws(() => listOf([bad]), TypeError, bad);
  }
  const list = listOf(["10.0.0.0/8", "2001:db8::/32"]);
  assert.ok(list.check("10.255.0.1") && list.check("2001:db8:ffff::1", "ipv6"));
  assert.ok(!list.check("11.0.0.1") && !list.check("2001:db9::1", "ipv6"));
  const ranges = new Ranges(["nonsense", "10.0.0.0/8", "2001:db8::/32"]);
  assert.ok(ranges.has("10.1.1.1") && ranges.has("2001:db8::1"));
  for (const none of ["nonsense", "", "11.0.0.1", "2001:db9::1"])
    assert.ok(!ranges.has(none), none);
});

it("a list is not within a list that it cannot be compared with", () => {
  const ten = { in: ["10.0.0.0/8"] };
  assert.equal(within({ in: ["10.0.0.0/7"] }, ten), false);
  assert.equal(within({ in: ["::/0"] }, { in: ["0.0.0.0/0"] }), false);
  assert.equal(within({ in: ["nonsense"] }, ten), false);
  assert.equal(within({}, {}), true);
  assert.equal(within(ten, {}), true);
  assert.equal(within({}, { not_in: ["10.0.0.0/8"] }), false);
  assert.equal(within({ not_in: ["10.0.0.0/7"] }, { not_in: ["10.0.0.0/8"] }), true);
  assert.equal(within({ not_in: ["10.0.0.0/9"] }, { not_in: ["10.0.0.0/8"] }), false);
  assert.equal(within({ in: ["11.0.0.0/8", "12.0.0.0/8"] }, { not_in: ["12.1.0.0/16"] }), false);
  assert.equal(within({ in: ["11.0.0.0/8", "13.0.0.0/8"] }, { not_in: ["12.1.0.0/16"] }), true);
});

it("an address that is not known is allowed only by a token that works from anywhere", () => {
  assert.equal(allowsAddress({ in: [], not_in: [] }, null), true);
  assert.equal(allowsAddress({ not_in: ["10.0.0.0/8"] }, null), false);
  assert.equal(plainAddress("::FFFF:192.0.2.1"), "192.0.2.1");
  assert.equal(plainAddress("1::ffff:192.0.2.1"), "1::ffff:192.0.2.1");
});
