import assert from "node:assert/strict";
import { test } from "node:test";
import { bindingNetwork, fetchNetwork } from "./workerd-network.ts";

test("this machine is denied, and in development only what is refused there too", () => {
  assert.ok(bindingNetwork({}, []).deny.includes("127.0.0.0/8"));
  const { allow, deny } = bindingNetwork({ development: true }, []);
  assert.deepEqual(allow, ["public", "private"]);
  assert.ok(!deny.includes("127.0.0.0/8"));
  assert.ok(deny.includes("169.254.0.0/16"));
  assert.ok(deny.includes("100.100.100.200/32"));
});

test("what is allowed wins over a default, as in the gateway", () => {
  const { allow, deny } = bindingNetwork(
    { allow: ["169.254.0.0/16", "127.0.0.1", "fe80::/10"] },
    [],
  );
  assert.deepEqual(allow.slice(2), ["169.254.0.0/16", "127.0.0.1/32", "fe80::/10"]);
  assert.ok(!deny.includes("169.254.0.0/16"));
  assert.ok(!deny.includes("fe80::/10"));
  // workerd takes the narrower of the two.
  assert.ok(deny.includes("127.0.0.0/8"));
});

test("what is denied wins over what is allowed within it, however narrow that is", () => {
  const { allow, deny } = bindingNetwork(
    {
      allow: ["10.1.2.3", "10.0.0.0/7"],
      deny: ["10.0.0.0/8"],
    },
    [],
  );
  assert.deepEqual(allow.slice(2), ["10.0.0.0/7"]);
  assert.ok(deny.includes("10.0.0.0/8"));
});

test("fetch() is denied the addresses of the platform's ports, unless one is named itself", () => {
  const own = ["11.22.33.44", "2a00:1234::44"];
  const { allow, deny } = fetchNetwork(["public", "10.0.0.0/8", "11.22.33.44"], own);
  assert.deepEqual(allow, ["public", "10.0.0.0/8", "11.22.33.44/32"]);
  assert.ok(deny.includes("2a00:1234::44/128"));
  assert.ok(!deny.includes("11.22.33.44/32"));
  assert.ok(deny.includes("127.0.0.0/8"));
  assert.ok(!fetchNetwork(["public", "local"], []).deny.includes("127.0.0.0/8"));
});

test("what opens an embedding range opens none of the refused IPv4 addresses in it", () => {
  const { deny } = bindingNetwork({ allow: ["64:ff9b::/96", "2002::/16", "::/96"] }, []);
  for (const range of [
    "64:ff9b::7f00:0/104",
    "64:ff9b::a9fe:0/112",
    "::a9fe:0/112",
    "2002:a9fe:0::/32",
    "64:ff9b::6464:64c8/128",
    "2002:6464:64c8::/48",
  ]) {
    assert.ok(deny.includes(range), `${range} of ${deny.join(" ")}`);
  }
  // Not opened, so not needed; nor is what IPv4 itself has opened.
  const siit = deny.filter((range) => range.startsWith("::ffff:0:"));
  assert.deepEqual(siit, ["::ffff:0:0:0/96"]);
  const opened = bindingNetwork({ allow: ["2002::/16", "169.254.0.0/16"] }, []);
  assert.ok(!opened.deny.includes("2002:a9fe:0::/32"));
  assert.ok(opened.deny.includes("2002:7f00:0::/24"));
});

test("a denied range is workerd's too, and an address is a block of one", () => {
  const { allow, deny } = bindingNetwork(
    { allow: ["2001:db8::7"], deny: ["10.0.0.1", "fd00::/8"] },
    [],
  );
  assert.deepEqual(allow, ["public", "private", "2001:db8::7/128"]);
  assert.deepEqual(deny.slice(0, 2), ["10.0.0.1/32", "fd00::/8"]);
});

test("forms whose content cannot be expressed for workerd stay closed", () => {
  for (const range of ["64:ff9b:1::/48", "2001::/32"]) {
    const { allow, deny } = bindingNetwork({ allow: [range, `${range.split("/")[0]}/64`] }, []);
    assert.deepEqual(allow, ["public", "private"], range);
    assert.ok(deny.includes(range), range);
  }
});
