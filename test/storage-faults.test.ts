import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { countersign } from "./helpers/cli.ts";
import { startPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";

const ports = ["--api-port", "0", "--http-port", "0"];

/** Faults in the folder of a platform that ran and was stopped, and the code with which `start` then fails. */
const faults: Readonly<Record<string, readonly [fault: (folder: string) => void, code: string]>> = {
  "a database that was cut off": [
    (folder) => truncateSync(join(folder, "countersign.db"), 5000),
    "database_damaged",
  ],
  "a database whose header is garbage": [
    (folder) => overwrite(join(folder, "countersign.db"), 0, 100),
    "database_damaged",
  ],
  "a database with garbage in all its pages": [
    (folder) => overwrite(join(folder, "countersign.db"), 200, 60_000),
    "database_damaged",
  ],
  "a database of a newer version": [
    (folder) => {
      using database = new DatabaseSync(join(folder, "countersign.db"));
      database.exec("INSERT INTO kysely_migration VALUES ('999-future', '2030-01-01')");
    },
    "database_newer",
  ],
  "a database that is empty": [
    (folder) => truncateSync(join(folder, "countersign.db"), 0),
    "database_missing",
  ],
  "a database that is gone": [
    (folder) => rmSync(join(folder, "countersign.db")),
    "database_missing",
  ],
  "a database without what was in it": [
    (folder) => {
      using database = new DatabaseSync(join(folder, "countersign.db"));
      database.exec("DELETE FROM master_key_checks");
    },
    "database_missing",
  ],
  "a lock that is garbage": [
    (folder) => writeFileSync(join(folder, "lock"), "no database, but long enough to look at"),
    "lock_damaged",
  ],
  "run, which is a file": [
    (folder) => replace(folder, "run", (path) => writeFileSync(path, "")),
    "data_folder_unusable",
  ],
  "admin.sock, which is a folder": [
    (folder) => replace(folder, "admin.sock", mkdirSync),
    "data_folder_unusable",
  ],
  "master.key, which is a folder": [
    (folder) => replace(folder, "master.key", mkdirSync),
    "data_folder_unusable",
  ],
  "master.key, which is a named pipe": [
    (folder) => replace(folder, "master.key", (path) => execFileSync("mkfifo", [path])),
    "data_folder_unusable",
  ],
  "countersign.db, which leads to a named pipe": [
    (folder) =>
      replace(folder, "countersign.db", (path) => {
        execFileSync("mkfifo", [`${path}.pipe`]);
        symlinkSync(`${path}.pipe`, path);
      }),
    "data_folder_unusable",
  ],
};

describe("a data folder with a fault is refused with what it is, and what to do", () => {
  let original: string;
  before(async () => {
    original = mkdtempSync(join(tmpdir(), "countersign-faults-"));
    const platform = await startPlatform({ dataFolder: original });
    await platform[Symbol.asyncDispose]();
  });
  after(() => rmSync(original, { recursive: true, force: true }));

  for (const [what, [fault, code]] of Object.entries(faults)) {
    test(what, async () => {
      const folder = mkdtempSync(join(tmpdir(), "countersign-faults-"));
      try {
        cpSync(original, folder, { recursive: true });
        fault(folder);
        const started = await countersign(["start", "--data", folder, ...ports, "--json"]);
        assert.equal(started.status, 1, started.stdout);
        assert.equal(JSON.parse(started.stdout).error.code, code, started.stdout);
        const checked = await countersign(["doctor", "--data", folder, ...ports]);
        assert.equal(checked.status, 1, checked.stdout);
        assert.match(checked.stdout, /✘/);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
  }

  test("doctor opens what is sealed: a key that is another, no key, or a record that was changed is wrong", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-faults-"));
    try {
      cpSync(original, folder, { recursive: true });
      const argv = ["doctor", "--data", folder, ...ports];
      assert.equal((await countersign(argv)).status, 0);
      const variables = { COUNTERSIGN_MASTER_KEY: Buffer.alloc(32, 9).toString("hex") };
      const another = await countersign(argv, { env: variables });
      assert.equal(another.status, 1);
      assert.match(another.stdout, /✘ master key .* sealed with/);
      writeFileSync(join(folder, "master.key"), "no key", { mode: 0o600 });
      const malformed = await countersign(argv);
      assert.equal(malformed.status, 1);
      assert.match(malformed.stdout, /✘ master key .* neither base64/);
      cpSync(join(original, "master.key"), join(folder, "master.key"));
      {
        using database = new DatabaseSync(join(folder, "countersign.db"));
        database.exec(
          "UPDATE audit_heads SET sealed = substr(sealed, 1, length(sealed) - 8) || 'AAAAAAA='",
        );
      }
      const changed = await countersign(argv);
      assert.equal(changed.status, 1);
      assert.match(changed.stdout, /✘ sealed records .* do not open/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("without its master key too, a folder starts from the beginning, which is the way to ask for it", async () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-faults-"));
    try {
      cpSync(original, folder, { recursive: true });
      rmSync(join(folder, "countersign.db"));
      rmSync(join(folder, "master.key"));
      const platform = await startPlatform({ dataFolder: folder });
      assert.notEqual(platform.ready.token, null);
      await platform[Symbol.asyncDispose]();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const readOnly = (folder: string, ...argv: readonly string[]) =>
  spawnSync(
    "bwrap",
    ["--dev-bind", "/", "/", "--ro-bind", folder, folder, process.execPath, ...argv],
    { encoding: "utf8", timeout: 30_000 },
  );
const canMount = readOnly("/usr", "--version").status === 0;

test(
  "a data folder on a read-only file system is refused as that, there already or not, and doctor says so",
  { skip: canMount ? false : "bubblewrap mounts nothing here" },
  () => {
    const folder = mkdtempSync(join(tmpdir(), "countersign-faults-"));
    try {
      for (const data of [folder, join(folder, "not", "there")]) {
        const { status, stdout } = readOnly(
          folder,
          program,
          "start",
          "--data",
          data,
          ...ports,
          "--json",
        );
        assert.equal(status, 1, stdout);
        const { code, message } = JSON.parse(stdout).error as { code: string; message: string };
        assert.equal(code, "data_folder_read_only", stdout);
        assert.ok(message.includes(data) && message.includes("EROFS"), message);
      }
      const checked = readOnly(folder, program, "doctor", "--data", folder);
      assert.equal(checked.status, 1);
      assert.match(checked.stdout, /✘ data folder .*EROFS/);
      assert.match(checked.stdout, /Mount it writable/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);

test("an address that is none of this machine's is no port in use, at the API and the ingress", async () => {
  const folder = mkdtempSync(join(tmpdir(), "countersign-faults-"));
  try {
    for (const [host, code] of [
      ["192.0.2.1", "address_not_here"],
      ["999.1.1.1", "address_unknown"],
    ] as const) {
      const argv = ["start", "--data", folder, ...ports, "--host", host, "--json"];
      const { stdout } = await countersign(argv);
      assert.equal(JSON.parse(stdout).error.code, code);
    }
    await using platform = await startPlatform();
    const taken = new URL(platform.ready.http).port;
    const argv = ["start", "--data", folder, "--api-port", "0", "--http-port", taken, "--json"];
    const { stdout } = await countersign(argv);
    assert.equal(JSON.parse(stdout).error.code, "port_in_use");
    assert.match(JSON.parse(stdout).error.message, /the ingress/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

function overwrite(file: string, at: number, length: number): void {
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, Buffer.alloc(length, 0xa5), 0, length, at);
  closeSync(descriptor);
}

function replace(folder: string, name: string, make: (path: string) => void): void {
  rmSync(join(folder, name), { recursive: true, force: true });
  make(join(folder, name));
}
