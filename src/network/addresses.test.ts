import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPolicy } from "./addresses.ts";

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
