import assert from "node:assert/strict";
import { test } from "node:test";
import { hostPattern } from "./host-pattern.ts";

test("a host is taken as it is compared later: lower case, no brackets, no dot at its end", () => {
  for (const [written, host] of [
    ["api.example.com", "api.example.com"],
    [" API.Example.com. ", "api.example.com"],
    ["*.Example.com", "*.example.com"],
    ["10.0.0.1", "10.0.0.1"],
    ["[2001:DB8::1]", "2001:db8::1"],
    ["2001:db8::1", "2001:db8::1"],
    ["a_b.local-host", "a_b.local-host"],
    ["a".repeat(63), "a".repeat(63)],
  ] as const) {
    assert.equal(hostPattern.parse(written), host, written);
  }
});

test("what is no host is refused, with how one is written", () => {
  for (const text of [
    "",
    "*",
    "*example.com",
    "a.*.example.com",
    "https://example.com",
    "example.com:443",
    "example..com",
    "-a.example.com",
    "a-.example.com",
    "a b.example.com",
    "bücher.example",
    "a".repeat(64),
    `${"a.".repeat(126)}ab`,
  ]) {
    const { error } = hostPattern.safeParse(text);
    assert.ok(error, text);
    if (text.length < 254) assert.match(error.issues[0]!.message, /write `api\.example\.com`/);
  }
});
