import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { Failure } from "../failures/failures.ts";
import { assertWritable, openDataFolder } from "./data-folder.ts";
import { loadMasterKey, parseMasterKey } from "../keys/master-key.ts";

let parent: string;
beforeEach(() => (parent = mkdtempSync(join(tmpdir(), "countersign-data-"))));
afterEach(() => rmSync(parent, { recursive: true, force: true }));

const code = (expected: string) => (error: unknown) =>
  error instanceof Failure && error.code === expected;

test("a data folder is made with mode 0700, whatever is above it", () => {
  using folder = openDataFolder(join(parent, "a", "b"));
  assert.equal(statSync(folder.path).mode & 0o777, 0o700);
});

test("a second process is refused and told who holds the data folder", () => {
  using folder = openDataFolder(parent);
  const script = `
    const { openDataFolder } = await import(${JSON.stringify(import.meta.resolve("./data-folder.ts"))});
    try { openDataFolder(process.argv[1]); } catch (error) { console.log(error.code, error.facts.pid); }`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script, parent]);
  assert.equal(output.toString().trim(), `data_folder_in_use ${process.pid}`);
  assert.ok(folder.path);
});

test("a process that is killed leaves no lock behind", () => {
  const script = `
    const { openDataFolder } = await import(${JSON.stringify(import.meta.resolve("./data-folder.ts"))});
    openDataFolder(process.argv[1]);
    process.kill(process.pid, "SIGKILL");`;
  assert.throws(() =>
    execFileSync(process.execPath, ["--input-type=module", "-e", script, parent], {
      stdio: "ignore",
    }),
  );
  openDataFolder(parent)[Symbol.dispose]();
});

test("a data folder that was closed can be opened again", () => {
  openDataFolder(parent)[Symbol.dispose]();
  openDataFolder(parent)[Symbol.dispose]();
});

test("a folder that cannot be written is said", () => {
  assert.throws(() => openDataFolder("/dev/null/countersign"), code("data_folder_unusable"));
});

test("links that lead nowhere, or to themselves, are told before a start and by it", () => {
  const folder = parent;
  symlinkSync("gone", join(folder, "dangling"));
  symlinkSync("loop", join(folder, "loop"));
  writeFileSync(join(folder, "file"), "");
  for (const name of ["dangling", "dangling/below", "loop", "loop/below", "file", "file/below"]) {
    const path = join(folder, name);
    assert.throws(() => assertWritable(path), /link to nothing|ELOOP|ENOTDIR/, name);
    assert.throws(() => openDataFolder(path), code("data_folder_unusable"), name);
  }
  for (const name of [".", "new", "new/below"]) assertWritable(join(folder, name));
});

test("the first start makes a master key that only its owner can read, later ones read it", async () => {
  const options = { dataFolder: parent, variables: {} };
  const made = await loadMasterKey({ ...options, wanted: null });
  assert.equal(made.key.length, 32);
  assert.equal(statSync(join(parent, "master.key")).mode & 0o777, 0o600);
  assert.deepEqual(await loadMasterKey({ ...options, wanted: "0badcafe" }), made);
});

test("a master key is never made for data that was sealed with another", async () => {
  const options = { dataFolder: parent, variables: {}, wanted: "0badcafe" };
  await assert.rejects(loadMasterKey(options), code("master_key_missing"));
});

test("a master key is read as base64, base64url or hex, and nothing else", () => {
  const key = Buffer.alloc(32, 0xfb);
  for (const encoding of ["base64", "base64url", "hex"] as const) {
    assert.deepEqual(parseMasterKey(` ${key.toString(encoding)}\n`, "a test"), key);
  }
  for (const wrong of ["", "short", key.toString("base64") + "AAAA", "g".repeat(64)]) {
    assert.throws(() => parseMasterKey(wrong, "a test"), code("master_key_malformed"));
  }
});

test("a refused master key is not in the message", () => {
  const wrong = "not-a-key-but-a-secret-all-the-same";
  try {
    parseMasterKey(wrong, "a test");
    assert.fail();
  } catch (error) {
    assert.ok(!(error as Error).message.includes(wrong));
  }
});
