import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  hostsOverlap,
  isForHost,
  matchesHost,
  parseHostRule,
  parseRoute,
  plainHost,
} from "./patterns.ts";

test("a host is one, however it is written", () => {
  for (const [written, plain] of [
    ["API.Example.com", "api.example.com"],
    ["api.example.com.", "api.example.com"],
    ["api.example.com:443", "api.example.com"],
    ["api.example.com.:8443", "api.example.com"],
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.example.", "xn--bcher-kva.example"],
    ["[2001:DB8::1]:443", "2001:db8::1"],
    ["2001:db8::1", "2001:db8::1"],
    ["10.0.0.1:80", "10.0.0.1"],
    ["__proto__", "__proto__"],
  ] as const) {
    assert.equal(plainHost(written), plain, written);
    assert.ok(matchesHost([written], plain), written);
    assert.ok(matchesHost([plain], written), written);
  }
  // What is no name at all stays what it is, and is no other.
  assert.equal(plainHost("a b.example"), "a b.example");
});

test("a route's star without a dot is for what ends so", () => {
  for (const host of ["example.com", "myexample.com", "a.example.com"]) {
    assert.ok(isForHost(parseRoute("*example.com/a").host, host), host);
  }
});

test("a star is for hosts below", () => {
  const cases = [
    ["*.example.com", "a.example.com", true],
    ["*.example.com", "a.b.example.com.", true],
    ["*.Example.COM", "A.example.com", true],
    ["*.example.com", "example.com", false],
    ["*.example.com", ".example.com", false],
    ["*.example.com", "aexample.com", false],
    ["*", "example.com", false],
    ["*example.com", "myexample.com", false],
    ["example.com", "a.example.com", false],
    ["*.bücher.example", "a.xn--bcher-kva.example", true],
    ["*.", "example.com", false],
  ] as const;
  for (const [pattern, host, expected] of cases) {
    assert.equal(matchesHost([pattern], host), expected, `${pattern} ${host}`);
  }
});

const label = fc.constantFrom("a", "b", "ab", "ba", "x-a");
const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."));
const pattern = fc
  .tuple(fc.constantFrom("", "*", "*."), name, fc.constantFrom("", "/", "/p/*", "/q"))
  .map((parts) => parts.join(""));

test("of two routes that do not overlap no host is for both", () => {
  const overlapping = new Set<boolean>();
  fc.assert(
    fc.property(
      pattern,
      pattern,
      name,
      fc.constantFrom("", "a", "b."),
      (one, other, end, start) => {
        const overlap = hostsOverlap(one, other);
        assert.equal(hostsOverlap(other, one), overlap);
        overlapping.add(overlap);
        // Hosts near both patterns, so that they match often.
        for (const base of [end, parseRoute(one).host.end, parseRoute(other).host.end]) {
          const host = plainHost(start + base);
          const both = [one, other].every((text) => isForHost(parseRoute(text).host, host));
          assert.ok(!both || overlap, `${host} is for ${one} and ${other}`);
        }
      },
    ),
    { numRuns: 3000 },
  );
  assert.equal(overlapping.size, 2);
});

test("of two routes that overlap some host is for both", () => {
  fc.assert(
    fc.property(pattern, pattern, (one, other) => {
      if (!hostsOverlap(one, other)) return;
      const ends = [one, other].map((text) => parseRoute(text).host.end);
      const hosts = ends.flatMap((end) => [end, `z${end}`]);
      const both = hosts.some((host) =>
        [one, other].every((text) => isForHost(parseRoute(text).host, host)),
      );
      assert.ok(both, `${one} ${other}`);
    }),
    { numRuns: 1000 },
  );
});

test("a route is read as Cloudflare writes it", () => {
  const example = { end: "example.com", any: false };
  for (const [text, host, path, anySuffix] of [
    ["example.com", example, "", true],
    ["example.com/", example, "/", false],
    ["https://Example.com/api/*", example, "/api/", true],
    ["http://example.com/a*b", example, "/a*b", false],
    ["HTTPS://example.com/*", example, "/", true],
    ["*.example.com/x", { end: ".example.com", any: true }, "/x", false],
    ["*example.com/*/y*", { end: "example.com", any: true }, "/*/y", true],
    ["example.com/https://a", example, "/https://a", false],
  ] as const) {
    assert.deepEqual(parseRoute(text), { host, path, anySuffix }, text);
  }
  assert.deepEqual(parseHostRule("*.bücher.example"), { end: ".xn--bcher-kva.example", any: true });
  assert.deepEqual(parseHostRule("*"), { end: "", any: true });
  assert.deepEqual(parseHostRule("example.com."), example);
});

test("what is no name stays as it is written, and never throws", () => {
  for (const [written, plain] of [
    ["[2001:db8::1]", "2001:db8::1"],
    ["a[2001:db8::1]", "a[2001:db8::1]"],
    ["[::1]:443x", "[::1]:443x"],
    ["example.com:44x", "example.com:44x"],
    ["", ""],
    ["ü:ß", "ü:ß"],
  ] as const) {
    assert.equal(plainHost(written), plain, written);
  }
});

test("a list decides by any of its patterns, an empty one by none", () => {
  assert.equal(matchesHost([], "a.example"), false);
  assert.equal(matchesHost(["b.example", "a.example"], "A.example:443"), true);
  assert.equal(matchesHost(["b.example", "*a.example"], "a.example"), false);
});
