import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { isOwn, listeningAt } from "./own-addresses.ts";

const own = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .map(({ address }) => address);
const outside = own.filter((address) => !address.startsWith("127.") && address !== "::1");

test("this machine is loopback, what is unspecified, and each of its interfaces", () => {
  for (const address of ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", ...own]) {
    assert.ok(isOwn(address), address);
  }
  assert.ok(isOwn("::ffff:127.0.0.1"));
  for (const address of outside.filter((one) => !one.includes(":"))) {
    assert.ok(isOwn(`::ffff:${address}`), address);
  }
  for (const address of ["192.0.2.1", "2001:db8::1", "::2", "0.0.0.1"]) {
    assert.ok(!isOwn(address), address);
  }
});

test("a server at an address is reached there, one at all of them at each interface", () => {
  assert.deepEqual(listeningAt([]), []);
  assert.deepEqual(listeningAt(["localhost", "127.0.0.1", "::1"]), []);
  assert.deepEqual(listeningAt(["192.0.2.1", "[2001:db8::1]", "192.0.2.1"]), [
    "192.0.2.1",
    "2001:db8::1",
  ]);
  for (const all of ["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0", "a-name.example"]) {
    assert.deepEqual(listeningAt([all]), [...new Set(outside)], all);
  }
});
