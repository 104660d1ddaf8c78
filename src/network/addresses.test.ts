import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPolicy, refusalByDefault, refusedByDefault } from "./addresses.ts";

const none = { allow: [], deny: [], development: false, denyLocalPorts: [] };

test("public and private networks are allowed", () => {
  const policy = new AddressPolicy(none);
  for (const address of [
    "93.184.216.34",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "2606:4700::1",
    "fd12::1",
  ]) {
    assert.equal(policy.refuses(address, 443), null, address);
  }
});

test("loopback, link-local, metadata, unspecified and multicast are refused, however written", () => {
  const policy = new AddressPolicy(none);
  for (const address of [
    "127.0.0.1",
    "127.8.8.8",
    "::1",
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
  ]) {
    assert.notEqual(policy.refuses(address, 443), null, address);
  }
});

test("development adds loopback and nothing else", () => {
  const policy = new AddressPolicy({ ...none, development: true });
  assert.equal(policy.refuses("127.0.0.1", 443), null);
  assert.equal(policy.refuses("::1", 443), null);
  assert.notEqual(policy.refuses("169.254.169.254", 443), null);
});

test("an allow list wins over the defaults, a deny list over both", () => {
  const policy = new AddressPolicy({
    ...none,
    allow: ["169.254.0.0/16", "10.0.0.0/8"],
    deny: ["10.1.0.0/16", "2001:db8::/32"],
  });
  assert.equal(policy.refuses("169.254.169.254", 443), null);
  assert.equal(policy.refuses("10.2.0.1", 443), null);
  assert.match(policy.refuses("10.1.0.1", 443) ?? "", /deny list/);
  assert.match(policy.refuses("::ffff:10.1.0.1", 443) ?? "", /deny list/);
  assert.match(policy.refuses("2001:db8::1", 443) ?? "", /deny list/);
});

test("the platform's own ports are refused on this machine, also in development", () => {
  const policy = new AddressPolicy({ ...none, development: true, denyLocalPorts: [8787] });
  assert.match(policy.refuses("127.0.0.1", 8787) ?? "", /platform's own/);
  assert.equal(policy.refuses("127.0.0.1", 443), null);
  assert.equal(policy.refuses("93.184.216.34", 8787), null);
});

test("what is no range is refused with its text", () => {
  for (const range of ["example.com", "10.0.0.0/x", "10.0.0.0/33", ""]) {
    assert.throws(() => new AddressPolicy({ ...none, deny: [range] }), range);
  }
});

test("each default refuses both ends of its range, and says what it is", () => {
  for (const [address, what] of [
    ["127.255.255.255", "loopback"],
    ["0.1.2.3", "unspecified, which means this machine"],
    ["169.254.255.255", "link-local, where clouds have their metadata services"],
    ["100.100.100.200", "Alibaba Cloud's metadata service"],
    ["168.63.129.16", "Azure's WireServer"],
    ["192.0.0.192", "reserved, with Oracle Cloud's metadata service"],
    ["239.255.255.255", "multicast"],
    ["250.0.0.1", "reserved, or broadcast"],
    ["febf::1", "link-local"],
    ["feff::1", "site-local"],
    ["ff0e::1", "multicast"],
    ["100::1", "discarded by routers"],
    ["fd00:ec2:ffff::1", "AWS's metadata service"],
    ["fd20:ce::254", "Google Cloud's metadata service"],
    ["fd00:c1::a9fe:a9fe", "Oracle Cloud's metadata service"],
    ["fd00:42::42", "Scaleway's metadata service"],
    ["fd00:a9fe:a9fe::1", "Akamai's metadata service"],
    ["::1.2.3.4", "an IPv4 address in IPv6 (IPv4-compatible), or unspecified"],
    ["::ffff:0:1.2.3.4", "an IPv4 address in IPv6 (SIIT)"],
    ["64:ff9b::1.2.3.4", "an IPv4 address in IPv6 (NAT64)"],
    ["64:ff9b:1:2::", "an IPv4 address in IPv6 (NAT64)"],
    ["2002:102:304::", "an IPv4 address in IPv6 (6to4)"],
    ["2001::1", "an IPv4 address in IPv6 (Teredo)"],
  ] as const) {
    assert.equal(refusalByDefault(address), `it is ${what}`, address);
  }
  assert.equal(refusalByDefault("::1"), "it is loopback");
  for (const open of ["100.100.100.201", "168.63.129.17", "192.0.1.1", "223.255.255.255"]) {
    assert.equal(refusalByDefault(open), null, open);
  }
  assert.equal(new Set(refusedByDefault.map(({ range }) => range)).size, refusedByDefault.length);
});

test("a host may have another place, at its port or at 443", () => {
  const hosts = { "db.test": "127.0.0.1:8443", "six.test": "[::1]:99", "plain.test": "api.local" };
  const policy = new AddressPolicy({ ...none, hosts });
  assert.deepEqual(policy.detour("db.test"), { host: "127.0.0.1", port: 8443 });
  assert.deepEqual(policy.detour("six.test"), { host: "::1", port: 99 });
  assert.deepEqual(policy.detour("plain.test"), { host: "api.local", port: 443 });
  assert.equal(policy.detour("other.test"), null);
  assert.equal(new AddressPolicy(none).detour("db.test"), null);
});

test("what allows an address by name is known, and a default that allows it is no name", () => {
  const policy = new AddressPolicy({
    ...none,
    allow: ["169.254.0.0/16", "10.0.0.0/8"],
    deny: ["10.1.0.0/16"],
    development: true,
  });
  for (const address of ["169.254.1.1", "10.2.0.1", "127.0.0.1", "::1", "10.2.0.1%eth0"]) {
    assert.ok(policy.isNamed(address), address);
  }
  for (const address of ["192.168.1.1", "10.1.0.1", "fe80::1", "example.com"]) {
    assert.ok(!policy.isNamed(address), address);
  }
  assert.ok(!new AddressPolicy(none).isNamed("127.0.0.1"));
});

test("a range that embeds IPv4 opens only what IPv4 may reach", () => {
  const policy = new AddressPolicy({ ...none, allow: ["64:ff9b::/96"], deny: ["10.0.0.0/8"] });
  assert.equal(policy.refuses("64:ff9b::5db8:d822", 443), null);
  const metadata = policy.refuses("64:ff9b::a9fe:a9fe", 443);
  assert.match(metadata ?? "", /^of 169\.254\.169\.254 in it: it is link-local/);
  assert.equal(
    policy.refuses("64:ff9b::10.0.0.1", 443),
    "of 10.0.0.1 in it: it is on the deny list",
  );
  assert.equal(policy.refuses("2002:5db8:d822::", 443), "it is an IPv4 address in IPv6 (6to4)");
});

test("the platform's own ports are found in an embedded address too, and a name is no address", () => {
  const policy = new AddressPolicy({ ...none, allow: ["2002::/16"], denyLocalPorts: [8787] });
  const own = "port 8787 of this machine is the platform's own";
  assert.equal(policy.refuses("2002:7f00:1::", 8787), own);
  assert.equal(policy.refuses("::ffff:127.0.0.1", 8787), own);
  assert.match(
    policy.refuses("2002:7f00:1::", 443) ?? "",
    /^of 127\.0\.0\.1 in it: it is loopback$/,
  );
  assert.equal(policy.refuses("example.com", 443), "it is not an address");
  assert.equal(policy.refuses("", 443), "it is not an address");
});
