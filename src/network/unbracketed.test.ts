import assert from "node:assert/strict";
import { test } from "node:test";
import { unbracketed } from "./unbracketed.ts";

test("an address of IPv6 is taken out of the brackets that a URL has around it", () => {
  assert.equal(unbracketed("[2001:db8::1]"), "2001:db8::1");
  assert.equal(unbracketed(new URL("https://[::1]:8443/").hostname), "::1");
});

test("a host without both brackets is itself", () => {
  for (const host of ["example.com", "::1", "[::1", "::1]", ""])
    assert.equal(unbracketed(host), host);
});
