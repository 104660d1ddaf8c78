import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { platformClient } from "../src/cli/client/platform-client.ts";
import { Failure } from "../src/failures/failures.ts";
import type { SandboxMode } from "../src/process/walls/sandbox-kinds.ts";
import { findSandbox } from "../src/process/walls/sandbox.ts";
import { attack, buildAttacker, deployVictims } from "./helpers/attack.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";

const skip = whyNot();

const temporary = mkdtempSync(join(tmpdir(), "countersign-attacker-"));
const attacker = join(temporary, "attacker");
let platform: TestPlatform;
before(async () => {
  if (skip !== false) return;
  buildAttacker(attacker);
  platform = await startPlatform();
  await deployVictims(platform);
});
after(async () => {
  await platform?.[Symbol.asyncDispose]();
  rmSync(temporary, { recursive: true });
});

async function attackIn(mode: SandboxMode): Promise<Map<string, string>> {
  const sandbox = await findSandbox(attacker, mode);
  assert.equal(sandbox.kind === "bubblewrap", mode === "required");
  return attack(platform, sandbox);
}

test(
  "a program in workerd's place finds nothing but its own files and sockets",
  { skip },
  async () => {
    const found = await attackIn("required");
    const needed = new Set(["own-configuration", "own-binding", "socket-folder-written"]);
    assert.ok(found.size > 20);
    for (const [what, answer] of found) {
      assert.equal(answer, needed.has(what) ? "yes" : "no", what);
    }
  },
);

test("without the sandbox the same program finds all of it", { skip }, async () => {
  const found = await attackIn("off");
  for (const what of [
    "master-key",
    "database",
    "admin-socket",
    "victims-socket",
    "victims-binding",
    "other-sockets",
    "victims-configuration",
    "victims-secrets",
    "victim-killed",
    // Root without capabilities may not signal a gateway that has its own user.
    ...(process.getuid?.() === 0 ? [] : ["gateway-killed"]),
    "other-processes-seen",
    "written-in-own-folder",
    "link-in-socket-folder",
    "shell-started",
  ]) {
    assert.equal(found.get(what), "yes", what);
  }
});

test("a Worker runs in the sandbox that the start tells of", { skip }, async () => {
  const { sandbox, workers } = await platformClient(platform.dataFolder).status();
  assert.equal(sandbox.kind, "bubblewrap");
  assert.match(
    (platform.ready as unknown as { sandbox: string }).sandbox,
    /^sandboxed \(bubblewrap/,
  );
  const { pid } = workers.find(({ scriptName }) => scriptName === "own")!;
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.match(status, /^CapBnd:\s+0+$/m);
  if (process.arch === "x64") assert.match(status, /^Seccomp:\s+2$/m);
});

test(
  "where /proc/sys cannot be written to, as under the systemd unit, the sandbox is the same",
  { skip },
  async () => {
    const script = [
      "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys",
      'exec "$@"',
    ].join(" && ");
    const entry = new URL("helpers/find-sandbox.ts", import.meta.url).pathname;
    const { stdout, stderr } = spawnSync(
      "unshare",
      [
        ...(process.getuid?.() === 0 ? [] : ["--map-root-user"]),
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        process.execPath,
        entry,
        attacker,
      ],
      { encoding: "utf8" },
    );
    assert.match(stdout, /^bubblewrap: sandboxed/, stderr);
  },
);

test("without bubblewrap, required refuses to start, and auto says what is missing", async () => {
  const { PATH } = process.env;
  process.env["PATH"] = "";
  try {
    const { kind, summary } = await findSandbox(process.execPath, "auto");
    assert.deepEqual([kind, summary], ["none", "NOT sandboxed (bubblewrap is not installed)"]);
    await assert.rejects(
      findSandbox(process.execPath, "required"),
      (error) => error instanceof Failure && error.code === "sandbox_unavailable",
    );
  } finally {
    process.env["PATH"] = PATH;
  }
});

function whyNot(): string | false {
  if (process.platform !== "linux") return "needs Linux";
  if (spawnSync("gcc", ["--version"]).status !== 0) return "needs gcc";
  const line = ["--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "true"];
  return spawnSync("bwrap", line).status === 0 ? false : "needs bubblewrap and user namespaces";
}
