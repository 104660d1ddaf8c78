import assert from "node:assert/strict";
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
  ];
  for (const spelling of spellings) {
    const readings = readingsOf(spelling);
    assert.ok(
      readings.some((one) => covers("/admin", one)),
      `${spelling}: ${readings.join(" ")}`,
    );
  }
  for (const other of ["/administrator", "/", "/public/admin", "/x?y=/admin"]) {
    assert.ok(!readingsOf(other).some((one) => covers("/admin", one)), other);
  }
});

test("whatever a path is, its readings are paths and the first is as the URL parser reads it", () => {
  const part = fc.constantFrom("a", "..", ".", "%2e", "%2F", "%5c", "\\", "%", "%ff", "", "%25");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const path = `/${parts.join("/")}`;
      const readings = readingsOf(path);
      assert.ok(readings.length > 0 && readings.every((one) => one.startsWith("/")));
      if (path.includes("\\")) return;
      const parsed = URL.parse(`http://host${path}`)?.pathname;
      if (parsed !== undefined) assert.equal(readings[0], parsed);
    }),
  );
});
