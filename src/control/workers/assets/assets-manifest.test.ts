import assert from "node:assert/strict";
import { test } from "node:test";
import { array, assert as holds, constantFrom, oneof, property, string } from "fast-check";
import { join, resolve } from "node:path";
import { Failure } from "../../../failures/failures.ts";
import { filesOf } from "./assets-manifest.ts";

const hash = "0123456789abcdef0123456789abcdef";
const refused = (sent: Record<string, { hash: string; size: number }>): string => {
  let message = "";
  assert.throws(
    () => filesOf(sent),
    (error) => {
      assert.ok(error instanceof Failure && error.code === "assets_manifest_invalid");
      message = error.message;
      return true;
    },
  );
  return message;
};

test("paths that a folder of files has are taken as they are", () => {
  const sent = { "/index.html": { hash, size: 3 }, "/a b/ü/…/x.y": { hash, size: 3 } };
  assert.deepEqual(
    filesOf(sent).map(({ path }) => path),
    Object.keys(sent),
  );
});

test("a path that leaves the folder, or cannot be a file's, is refused by its name", () => {
  const paths = ["", "x", "/", "//x", "/x/", "/../x", "/x/../../y", "/./x", "/a\\b", "/a\0b"];
  for (const path of [...paths, "/\ud800", `/${"a".repeat(256)}`, "/a".repeat(600)]) {
    assert.match(refused({ [path]: { hash, size: 1 } }), /the static asset/);
  }
});

test("a file cannot be a folder at once, nor one hash two contents", () => {
  const one = { hash, size: 1 };
  assert.match(refused({ "/a": one, "/a/b/c": one }), /below "\/a", which is a file/);
  assert.match(refused({ "/a": one, "/b": { hash, size: 2 } }), /has the hash of a file/);
  assert.equal(filesOf({ "/a": one, "/ab": one, "/b/a": one }).length, 3);
});

test("whatever is taken stays below the folder", () => {
  const name = oneof(constantFrom(".", "..", "", "a", "/", "\\", "%2e%2e"), string());
  holds(
    property(array(name), (names) => {
      const path = `/${names.join("/")}`;
      try {
        filesOf({ [path]: { hash, size: 1 } });
      } catch {
        return;
      }
      assert.ok(resolve(join("/folder", ...path.split("/"))).startsWith("/folder/"));
    }),
  );
});
