import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { endHalfStarted, ProcessRecords } from "./orphans.ts";

let folder: string;
const children: ChildProcess[] = [];
before(async () => (folder = await mkdtemp(join(tmpdir(), "countersign-orphans-"))));
after(async () => {
  for (const child of children) child.kill("SIGKILL");
  await rm(folder, { recursive: true });
});

function sleeper(): ChildProcess {
  const child = spawn(process.execPath, ["-e", "setTimeout(() => {}, 60_000)"]);
  children.push(child);
  return child;
}

/** As it shows in a list of processes. */
function named(argv0: string, path: string): ChildProcess {
  const code = "setTimeout(() => {}, 60_000)";
  const child = spawn(process.execPath, ["-e", code, "--", path], { argv0 });
  children.push(child);
  return child;
}

test("a process that was recorded and still runs is ended", async () => {
  const child = sleeper();
  const ended = once(child, "exit");
  await new ProcessRecords(folder).add(child.pid!);
  await new ProcessRecords(folder).endOrphans();
  const [, signal] = (await ended) as [number | null, string | null];
  assert.equal(signal, "SIGKILL");
});

test("a process that has got the id of an ended process is left alone", async () => {
  const child = sleeper();
  const records = new ProcessRecords(folder);
  await records.add(child.pid!);
  await writeFile(join(folder, String(child.pid)), "another boot, another time");
  await records.endOrphans();
  await writeFile(join(folder, "not a pid"), "anything");
  await records.endOrphans();
  assert.equal(child.exitCode ?? child.signalCode, null);
});

test("a process that ended in time is forgotten", async () => {
  const records = new ProcessRecords(folder);
  const child = sleeper();
  await records.add(child.pid!);
  assert.ok((await readdir(folder)).includes(String(child.pid)));
  await records.remove(child.pid!);
  assert.ok(!(await readdir(folder)).includes(String(child.pid)));
});

test(
  "a sandbox that was being made in a folder is ended, and no other program",
  { skip: !existsSync("/proc") },
  async () => {
    const half = named("/usr/bin/bwrap", join(folder, "g/2"));
    const others = [named("node", join(folder, "g/2")), named("bwrap", `${folder}-of-another/g/2`)];
    // It may be gone before the others were looked at.
    const ended = once(half, "exit");
    await endHalfStarted(folder);
    const [, signal] = (await ended) as [number | null, string | null];
    assert.equal(signal, "SIGKILL");
    for (const { exitCode, signalCode } of others) assert.equal(exitCode ?? signalCode, null);
  },
);
