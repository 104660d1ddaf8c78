import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOrigin, parseTarget } from "./destination.ts";

const origins = [
  ["https://a.example", "https://a.example", "a.example", 443],
  ["https://A.Example:443/path?query", "https://a.example", "a.example", 443],
  ["https://a.example:8443", "https://a.example:8443", "a.example", 8443],
  ["wss://a.example", "https://a.example", "a.example", 443],
  ["wss://a.example:443", "https://a.example", "a.example", 443],
  ["https://a.example.", "https://a.example", "a.example", 443],
  ["https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443", "2001:db8::1", 8443],
  ["https://192.0.2.1", "https://192.0.2.1", "192.0.2.1", 443],
] as const;

for (const [text, origin, host, port] of origins) {
  test(`${text} is the origin ${origin}`, () => {
    assert.deepEqual(parseOrigin(text), { origin, destination: { host, port } });
    assert.deepEqual(parseTarget(text), { origin, destination: { host, port }, protocol: null });
  });
}

const databases = [
  ["postgres://a.example", "postgres://a.example:5432", "a.example", 5432, "postgres"],
  ["postgresql://A.Example./db", "postgres://a.example:5432", "a.example", 5432, "postgres"],
  ["mysql://u:p@a.example", "mysql://a.example:3306", "a.example", 3306, "mysql"],
  ["mysql://a.example:5432", "mysql://a.example:5432", "a.example", 5432, "mysql"],
  ["postgres://[2001:db8::1]", "postgres://[2001:db8::1]:5432", "2001:db8::1", 5432, "postgres"],
] as const;

for (const [text, origin, host, port, protocol] of databases) {
  test(`${text} is the database ${origin}`, () => {
    assert.deepEqual(parseTarget(text), { origin, destination: { host, port }, protocol });
  });
}

test("what is no absolute URL, or names no host, is refused as malformed", () => {
  for (const text of ["", "/path", "a.example", "https:///", "mailto:a@a.example"]) {
    const expected = {
      code: "origin_request_malformed",
      message: `"${text}" is not an absolute URL`,
    };
    assert.throws(() => parseOrigin(text), expected);
    assert.throws(() => parseTarget(text), expected);
  }
  assert.throws(() => parseOrigin("https://."), {
    code: "origin_request_malformed",
    message: '"https://." names no host',
  });
  for (const text of ["postgres://", "mysql://."]) {
    assert.throws(() => parseTarget(text), {
      code: "origin_request_malformed",
      message: "the database's URL names no host",
    });
  }
});

test("an origin without TLS is refused, with where it is and nothing else of the URL", () => {
  for (const scheme of ["http", "ws", "ftp"]) {
    assert.throws(() => parseOrigin(`${scheme}://u:p@a.example:8080/path`), {
      code: "origin_http_refused",
      message: `"${scheme}://a.example:8080" is not fetched through a binding: there is no TLS to present its certificate in`,
      facts: { host: "a.example" },
    });
  }
});
