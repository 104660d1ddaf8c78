import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { covers, readingsOf } from "./paths.ts";

test("a path that any Worker could read as a covered one is covered in one of its readings", () => {
  const spellings = [
    "/admin",
    "/admin/",
    "/admin?x=1",
    "//admin",
    "/./admin/x",
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/%61dmin",
    "/%2561dmin",
    "/public/..%2fadmin",
    String.raw`/public\..\admin`,
    "/public//../admin/x",
    "/%ff/../admin",
    // The URL parser reads `/admin/secret`: an empty part counts as one.
    String.raw`/admin/\/../../secret`,
    String.raw`/%2e%2e/admin/\/.%2e/../x`,
    // `request.url` has it as it was sent, and some routers look no further.
    "/admin/../x",
    "/admin/%2e%2e/x",
    "/./admin/.%2e",
  ];
  for (const spelling of spellings) {
    const readings = readingsOf(spelling) ?? [];
    assert.ok(
      readings.some((one) => covers("/admin", one)),
      `${spelling}: ${readings.join(" ")}`,
    );
  }
  for (const other of ["/administrator", "/", "/public/admin", "/x?y=/admin"]) {
    assert.ok(!readingsOf(other)?.some((one) => covers("/admin", one)), other);
  }
});

test("a long path that can be read in many ways is not read, and a plain one is", () => {
  assert.equal(readingsOf(`/admin/..${"/x%2f".repeat(500)}`), null);
  assert.deepEqual(readingsOf(`/${"x".repeat(5000)}`), [`/${"x".repeat(5000)}`]);
});

const part = fc.constantFrom(
  "a", "admin", "..", ".", "%2e", "%2F", "%5c", "\\", "\\..", "%", "%ff", "", "%25", "%252e", ".%2e", "..;",
); // prettier-ignore
const anyPath = fc.array(part, { maxLength: 12 }).map((parts) => `/${parts.join("/")}`);

test("whatever a path is, its readings are paths and the first is as the URL parser reads it", () => {
  fc.assert(
    fc.property(anyPath, (path) => {
      const readings = readingsOf(path);
      if (readings === null) return;
      assert.ok(readings.length > 0 && readings.every((one) => one.startsWith("/")));
      if (path.includes("\\")) return;
      const parsed = URL.parse(`http://host${path}`)?.pathname;
      if (parsed !== undefined) assert.equal(readings[0], parsed);
    }),
  );
});

const decoded = (path: string): string => {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
};
const parsed = (path: string): string => URL.parse(`http://host${path}`)?.pathname ?? path;
const collapsed = (path: string): string => path.replaceAll(/\/+/g, "/");

test("what routers make of a path, one step after another, is one of its readings", () => {
  const ways = [
    [], [parsed], [decoded], [collapsed], [posix.normalize], [parsed, decoded], [decoded, parsed], [parsed, decoded, parsed],
    [parsed, collapsed], [parsed, posix.normalize], [parsed, decoded, posix.normalize], [parsed, decoded, collapsed],
    [parsed, decoded, decoded], [parsed, decoded, posix.normalize, decoded, posix.normalize], [decoded, posix.normalize],
  ]; // prettier-ignore
  fc.assert(
    fc.property(anyPath, fc.constantFrom(...ways), (path, way) => {
      const read = way.reduce((one, step) => step(one), path);
      const readings = readingsOf(path);
      for (const prefix of ["/admin", "/a/admin"]) {
        if (!covers(prefix, read)) continue;
        assert.ok(readings?.some((one) => covers(prefix, one)) ?? true, `${path} is ${read}`);
      }
    }),
    { numRuns: 5000 },
  );
});
