import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { after, cursorAfter, type InstanceFile, instanceFiles } from "./instance-files.ts";

const key = (digit: string): string => digit.repeat(64);
const file = (digit: string, made: number): InstanceFile => ({
  key: key(digit),
  made,
  written: made,
});

test("instances are files with the name of an object; links and folders are none", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-instances-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, `${key("a")}.sqlite`), "");
  writeFileSync(join(folder, `${key("a")}.sqlite-wal`), "");
  writeFileSync(join(folder, "metadata.sqlite"), "");
  mkdirSync(join(folder, `${key("b")}.sqlite`));
  symlinkSync("/etc/hostname", join(folder, `${key("c")}.sqlite`));
  assert.deepEqual(
    (await instanceFiles(folder)).map((one) => one.key),
    [key("a")],
  );
  assert.deepEqual(await instanceFiles(join(folder, "none")), []);
});

test("a listing continues after its cursor, also among instances of the same moment", () => {
  const files = [file("c", 3), file("a", 2), file("b", 2), file("d", 1.5)];
  const pages: string[] = [];
  for (let cursor: string | undefined; ;) {
    const [first] = after(files, cursor);
    if (first === undefined) break;
    pages.push(first.key.slice(0, 1));
    cursor = cursorAfter(first);
  }
  assert.deepEqual(pages, ["c", "a", "b", "d"]);
  assert.equal(after(files, "no cursor").length, 4);
});
