import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { answering } from "./helpers/edge.ts";
import { program } from "./helpers/program.ts";
import { until } from "./helpers/until.ts";

const skip =
  process.platform === "linux" && spawnSync("setpriv", ["--version"]).status === 0
    ? false
    : "needs Linux and util-linux's setpriv";

/** Root may trace every process, so as root all of this runs without that capability. */
const tracing = ["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
const asUser = ["setpriv", ...(process.getuid?.() === 0 ? tracing : []), "--no-new-privs"];

let main: ChildProcess;
let ready: Record<string, string>;
const dataFolder = mkdtempSync(join(tmpdir(), "countersign-memory-"));
before(async () => {
  if (skip !== false) return;
  const command = [process.execPath, program, "start", "--json", "--data", dataFolder];
  // The shell that starts it allows core files, if this user may.
  const allowed = ["sh", "-c", 'ulimit -c unlimited 2>/dev/null; exec "$@"', "sh"];
  main = run([...allowed, ...asUser, ...command, "--api-port", "0", "--http-port", "0"]);
  const [line] = (await once(createInterface(main.stdout!), "line")) as [string];
  ready = JSON.parse(line) as Record<string, string>;
  const { status } = await fetch(
    `${ready["api"]}/accounts/${ready["accountId"]}/workers/scripts/one`,
    {
      method: "PUT",
      headers: { authorization: `Bearer ${ready["token"]}` },
      body: script(),
    },
  );
  assert.equal(status, 200);
});
after(async () => {
  if (skip === false && main.exitCode === null) {
    main.kill("SIGTERM");
    await once(main, "exit");
  }
  rmSync(dataFolder, { recursive: true });
});

test("no process of the platform writes its memory to disk when it crashes", { skip }, () => {
  const family = [main.pid!, ...descendants(main.pid!)];
  assert.ok(family.length >= 4, "main process, gateway, ingress and workerd");
  for (const pid of family) {
    const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
    assert.match(limits, /^Max core file size\s+0\s+0\s/m, commandLine(pid));
  }
});

test(
  "a program of the same user reads the memory of no process that has keys",
  { skip },
  async (t) => {
    if (!/, closed to/.test(ready["memory"]!)) {
      assert.match(ready["memory"]!, /NOT closed/);
      t.skip("this Node cannot call the C library");
      return;
    }
    const open = run([...asUser, "sleep", "60"]);
    try {
      // A process without protection can be read once it runs as that user.
      await until(() => isReadable(open.pid!));
    } finally {
      open.kill();
    }
    const own = [main.pid!, ...descendants(main.pid!)].filter((pid) =>
      /countersign\.js|gateway\/main|ingress\/main/.test(commandLine(pid)),
    );
    assert.equal(own.length, 3, "main process, gateway and ingress");
    for (const pid of own) assert.equal(isReadable(pid), false, commandLine(pid));
  },
);

function run([file, ...args]: readonly string[]): ChildProcess {
  return spawn(file!, args, { stdio: ["ignore", "pipe", "ignore"] });
}

function isReadable(pid: number): boolean {
  const [file, ...args] = asUser;
  try {
    execFileSync(file!, [...args, "sh", "-c", `: </proc/${pid}/mem`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function commandLine(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
}

function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children
    .trim()
    .split(" ")
    .filter(Boolean)
    .flatMap((child) => [Number(child), ...descendants(Number(child))]);
}

function script(): FormData {
  const form = new FormData();
  form.set("metadata", JSON.stringify({ main_module: "w.js", compatibility_date: "2026-11-01" }));
  form.set("w.js", new File([answering("one")], "w.js", { type: "application/javascript+module" }));
  return form;
}
