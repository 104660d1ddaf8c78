import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { removeUnnamed } from "./unnamed-files.ts";

const { signal } = new AbortController();
const fileName = (): string => randomBytes(40).toString("hex");

function accountData(t: TestContext): string {
  const data = mkdtempSync(join(tmpdir(), "countersign-unnamed-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  for (const folder of ["r2", "one/blobs", "two/blobs"]) {
    mkdirSync(join(data, "r2", folder), { recursive: true });
  }
  return data;
}

function bucketDatabase(
  data: string,
  objects: readonly string[],
  parts: readonly string[],
): string {
  const path = join(data, "r2/r2", `${randomBytes(32).toString("hex")}.sqlite`);
  const database = new DatabaseSync(path);
  database.exec(`PRAGMA journal_mode = WAL;
    CREATE TABLE _mf_objects (key TEXT PRIMARY KEY, blob_id TEXT);
    CREATE TABLE _mf_multipart_parts (upload_id TEXT, part_number INTEGER, blob_id TEXT NOT NULL, PRIMARY KEY (upload_id, part_number));
    INSERT INTO _mf_objects VALUES ('of parts', NULL);`);
  const insert = database.prepare("INSERT INTO _mf_objects VALUES (?, ?)");
  for (const name of objects) insert.run(`key ${name}`, name);
  const part = database.prepare("INSERT INTO _mf_multipart_parts VALUES ('u', ?, ?)");
  for (const [index, name] of parts.entries()) part.run(index + 1, name);
  database.close();
  return path;
}

function write(data: string, bucket: string, names: readonly string[], age: number): void {
  const at = new Date(Date.now() - age);
  for (const name of names) {
    const path = join(data, "r2", bucket, "blobs", name);
    writeFileSync(path, "x");
    utimesSync(path, at, at);
  }
}

test("a file that no object and no upload has is removed, if it was there before, and no other", async (t) => {
  const data = accountData(t);
  const [objects, parts, others] = [[fileName()], [fileName(), fileName()], [fileName()]];
  bucketDatabase(data, objects, parts);
  bucketDatabase(data, others, []);
  const [lost, underWay] = [[fileName(), fileName()], fileName()];
  const before = Date.now() - 30_000;
  write(data, "one", [...objects, ...parts, lost[0]!, "of-somebody-else"], 60_000);
  write(data, "two", [...others, lost[1]!], 60_000);
  write(data, "two", [underWay], 0);
  assert.equal(await removeUnnamed({ data, before, signal, pause: 1 }), 2);
  const left = ["one", "two"].map((one) => readdirSync(join(data, "r2", one, "blobs")).toSorted());
  assert.deepEqual(left, [
    [...objects, ...parts, "of-somebody-else"].toSorted(),
    [...others, underWay].toSorted(),
  ]);
  assert.equal(await removeUnnamed({ data, before, signal, pause: 1 }), 0);
});

test("a file whose object is there a moment later stays, though the clock was set back", async (t) => {
  const data = accountData(t);
  const path = bucketDatabase(data, [], []);
  const [late, lost] = [fileName(), fileName()];
  write(data, "one", [late, lost], 60_000);
  const removing = removeUnnamed({ data, before: Date.now(), signal, pause: 1_000 });
  await wait(100);
  const database = new DatabaseSync(path);
  database.prepare("INSERT INTO _mf_objects VALUES ('late', ?)").run(late);
  database.close();
  assert.equal(await removing, 1);
  assert.deepEqual(readdirSync(join(data, "r2/one/blobs")), [late]);
});

test("where a database of a bucket is missing or damaged, nothing is removed", async (t) => {
  const data = accountData(t);
  write(data, "one", [fileName()], 60_000);
  assert.equal(await removeUnnamed({ data, before: Date.now(), signal, pause: 1 }), 0);
  bucketDatabase(data, [], []);
  writeFileSync(join(data, "r2/r2", `${"0".repeat(64)}.sqlite`), "no database ".repeat(1_000));
  await assert.rejects(removeUnnamed({ data, before: Date.now(), signal, pause: 1 }), /database/);
  assert.equal(readdirSync(join(data, "r2/one/blobs")).length, 1);
});
