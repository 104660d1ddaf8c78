import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../../test/helpers/until.ts";
import { FileWatcher } from "./watch.ts";

test("a file is followed however it is replaced: in place, with its folder, by a link on the way", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-watch-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = (name: string): string => join(folder, name);
  const followed = ["certs/c.pem", "data/c.pem", "none/c.pem"].map(path);
  let read = "";
  using watcher = new FileWatcher(() => (read = followed.map(contentOf).join()));
  const make = (name: string, text: string): void => {
    mkdirSync(path(name));
    writeFileSync(join(path(name), "c.pem"), text);
  };
  const link = (to: string): void => {
    symlinkSync(to, path("next"));
    renameSync(path("next"), path("data"));
  };
  make("certs", "1");
  make("linked", "1");
  link("linked");
  watcher.follow(followed);
  let text = "1";
  // Again and again: what changes before the first look is no change.
  await until(() => {
    writeFileSync(path("certs/c.pem"), (text += "1"));
    return read !== "";
  });
  for (const [change, expected] of [
    [() => writeFileSync(path("certs/c.pem"), "2"), "2,1,"],
    [() => rmSync(path("certs"), { recursive: true }), ",1,"],
    [() => make("certs", "three"), "three,1,"],
    [() => writeFileSync(path("certs/c.pem"), "4"), "4,1,"],
    [
      () => {
        make("other", "five");
        renameSync(path("certs"), path("old"));
        renameSync(path("other"), path("certs"));
      },
      "five,1,",
    ],
    [
      () => {
        make("linked2", "2");
        link("linked2");
      },
      "five,2,",
    ],
    [() => make("none", "1"), "five,2,1"],
  ] as const) {
    change();
    await until(() => read === expected);
  }
  assert.equal(read, "five,2,1");
});

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
