import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import {
  finishChange,
  loadMasterKey,
  masterKeyVariables,
  parseMasterKey,
  readGivenKey,
  stageKeyFile,
} from "./master-key.ts";
import { Keyring } from "./seal.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "countersign-master-key-"))));
afterEach(() => rmSync(folder, { recursive: true }));

const key = randomBytes(32);
const id = new Keyring(key).masterKeyId;
const text = key.toString("base64");

test("a key is base64, of either alphabet and with or without padding, or hex in either case", () => {
  const awkward = Buffer.alloc(32, 0xfb);
  for (const one of [key, awkward]) {
    for (const written of [
      one.toString("base64"),
      one.toString("base64").replace("=", ""),
      one.toString("base64url"),
      one.toString("hex"),
      one.toString("hex").toUpperCase(),
      `  ${one.toString("hex")}\n`,
    ]) {
      assert.deepEqual(parseMasterKey(written, "a test"), one, written);
    }
  }
});

test("anything else is refused, and not shown", () => {
  for (const written of [
    "",
    key.subarray(1).toString("base64"),
    key.toString("hex").slice(1),
    `x${key.toString("hex")}`,
    `${key.toString("hex")}0`,
    `${text}=`,
    `!${text}`,
    text.replace(/.$/, "!"),
  ]) {
    assert.throws(() => parseMasterKey(written, "a test"), {
      code: "master_key_malformed",
      message: "the master key in a test is neither base64 of 32 bytes nor 64 hex digits",
    });
  }
});

test("the environment names the key, a file or a command; what is empty is not set", () => {
  assert.deepEqual(
    masterKeyVariables({
      COUNTERSIGN_MASTER_KEY: "a",
      COUNTERSIGN_MASTER_KEY_FILE: "b",
      COUNTERSIGN_MASTER_KEY_COMMAND: "c",
    }),
    { key: "a", file: "b", command: "c" },
  );
  const none = { key: undefined, file: undefined, command: undefined };
  assert.deepEqual(masterKeyVariables({}), none);
  assert.deepEqual(
    masterKeyVariables({
      COUNTERSIGN_MASTER_KEY: "",
      COUNTERSIGN_MASTER_KEY_FILE: "",
      COUNTERSIGN_MASTER_KEY_COMMAND: "",
    }),
    none,
  );
});

test("a key is given as a value, by a file or by a command, and by only one of them", async () => {
  const file = join(folder, "given");
  writeFileSync(file, text);
  assert.equal(await readGivenKey({}), null);
  for (const [variables, from] of [
    [{ key: text }, "COUNTERSIGN_MASTER_KEY"],
    [{ file }, `the file "${file}"`],
    [{ command: `cat ${file}` }, "the master key command"],
  ] as const) {
    assert.deepEqual(await readGivenKey(variables), { key, from });
    const loaded = await loadMasterKey({ dataFolder: folder, variables, wanted: null });
    assert.deepEqual(loaded, { key, from, inFolder: false });
  }
  assert.deepEqual(readdirSync(folder), ["given"], "no other is made");
  for (const two of [
    { key: text, file },
    { file, command: "true" },
    { key: text, command: "true" },
  ]) {
    await assert.rejects(readGivenKey(two), { code: "master_key_source_ambiguous" });
  }
});

test("a missing file and a failed command are reported with the reason, and never with their output", async () => {
  const file = join(folder, "none");
  await assert.rejects(readGivenKey({ file }), {
    code: "master_key_missing",
    message: `the master key file "${file}" cannot be read: ENOENT`,
    fix: /correct COUNTERSIGN_MASTER_KEY_FILE/,
  });
  await assert.rejects(
    readGivenKey({ command: `echo ${text}; echo first >&2; echo no vault >&2; exit 3` }),
    {
      code: "master_key_command_failed",
      message: "the master key command ended with status 3: no vault",
    },
  );
  await assert.rejects(readGivenKey({ command: "exit 4" }), {
    message: "the master key command ended with status 4",
  });
  await assert.rejects(readGivenKey({ command: `printf '%0300d' 0 >&2; exit 1` }), {
    message: `the master key command ended with status 1: ${"0".repeat(200)}`,
  });
});

test("the first start makes a key that its owner alone reads; without it, data is not opened with another", async () => {
  const options = { dataFolder: folder, variables: {} };
  const made = await loadMasterKey({ ...options, wanted: null });
  const file = join(folder, "master.key");
  assert.deepEqual(made, { key: made.key, inFolder: true, from: `the file "${file}"` });
  assert.equal(made.key.length, 32);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(readFileSync(file, "utf8"), `${made.key.toString("base64")}\n`);
  assert.deepEqual(readdirSync(folder), ["master.key"], "nothing half written is left");
  assert.deepEqual(await loadMasterKey({ ...options, wanted: id }), made);
  rmSync(file);
  await assert.rejects(loadMasterKey({ ...options, wanted: id }), {
    code: "master_key_missing",
    message: `the data folder "${folder}" has records sealed with master key ${id}, but there is no master key`,
    facts: { masterKeyId: id },
  });
  assert.equal(existsSync(file), false);
});

test("a key file that others can read is refused, and told how to be closed", async () => {
  const file = join(folder, "master.key");
  writeFileSync(file, text, { mode: 0o600 });
  for (const mode of [0o640, 0o604, 0o601]) {
    chmodSync(file, mode);
    await assert.rejects(loadMasterKey({ dataFolder: folder, variables: {}, wanted: null }), {
      code: "master_key_exposed",
      message: `the master key file "${file}" can be read by others on this machine`,
      fix: new RegExp(`^Run: chmod 600 "${file}"`),
    });
  }
  chmodSync(file, 0o600);
  const { key: read } = await loadMasterKey({ dataFolder: folder, variables: {}, wanted: null });
  assert.deepEqual(read, key);
});

test("a key that was to come comes if the data is sealed with it, and goes if it is not", async () => {
  const options = { dataFolder: folder, variables: {} };
  const { key: first } = await loadMasterKey({ ...options, wanted: null });
  finishChange(folder, null);
  stageKeyFile(folder, key);
  const next = join(folder, "master.key.next");
  assert.equal(statSync(next).mode & 0o777, 0o600);
  // A crash before anything was sealed with it.
  const { masterKeyId } = new Keyring(first);
  assert.deepEqual((await loadMasterKey({ ...options, wanted: masterKeyId })).key, first);
  assert.equal(existsSync(next), false);
  // A crash after that.
  stageKeyFile(folder, key);
  assert.deepEqual((await loadMasterKey({ ...options, wanted: id })).key, key);
  assert.deepEqual(readdirSync(folder), ["master.key"]);
});

test("a draft that a crash has left is written over", async () => {
  writeFileSync(join(folder, "master.key.new"), "half a k");
  const made = await loadMasterKey({ dataFolder: folder, variables: {}, wanted: null });
  assert.equal(made.key.length, 32);
  assert.deepEqual(readdirSync(folder), ["master.key"]);
});
