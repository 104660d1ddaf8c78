import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { platformClient } from "../src/cli/client/platform-client.ts";
import { Failure } from "../src/failures/failures.ts";
import { enter } from "../src/process/enter.ts";
import type { SandboxMode } from "../src/process/sandbox-kinds.ts";
import { findSandbox } from "../src/process/sandbox.ts";
import { answering } from "./helpers/edge.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const skip = whyNot();

const temporary = mkdtempSync(join(tmpdir(), "countersign-attacker-"));
const attacker = join(temporary, "attacker");
let platform: TestPlatform;
before(async () => {
  if (skip !== false) return;
  execFileSync("gcc", ["-o", attacker, join(import.meta.dirname, "helpers", "attacker.c")]);
  platform = await startPlatform();
  const authority = await makeAuthority();
  const { chain, key } = await authority.issue({ subject: "CN=a Worker" });
  const body = { certificates: chain, private_key: key, ca: false };
  const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
  const certificate = (json.result as { id: string }).id;
  for (const name of ["own", "victim"]) {
    const bindings = [
      { type: "mtls_certificate", name: "CERT", certificate_id: certificate },
      { type: "secret_text", name: "SECRET", text: `the secret of ${name}` },
    ];
    const form = scriptForm(
      { compatibility_date: "2026-11-01", bindings },
      { "w.js": ["application/javascript+module", answering(name)] },
    );
    const { status } = await platform.api(
      "PUT",
      `/accounts/{account}/workers/scripts/${name}`,
      form,
    );
    assert.equal(status, 200);
  }
});
after(async () => {
  await platform?.[Symbol.asyncDispose]();
  rmSync(temporary, { recursive: true });
});

/** What a program finds that is run as workerd is, in the folder of the Worker "own". */
async function attack(mode: SandboxMode): Promise<Map<string, string>> {
  const { gateway, workers } = await platformClient(platform.dataFolder).status();
  const { pid } = workers.find(({ scriptName }) => scriptName === "victim")!;
  const sandbox = await findSandbox(attacker, mode);
  assert.equal(sandbox.kind === "bubblewrap", mode === "required");
  const { child, ended } = await enter(sandbox.enter(folderOf("own")), {
    args: [],
    env: {
      DATA: platform.dataFolder,
      VICTIM_FOLDER: folderOf("victim"),
      VICTIM: String(pid),
      GATEWAY: String(gateway.pid),
    },
    input: false,
  });
  let found = "";
  child.stdout!.setEncoding("utf8").on("data", (chunk: string) => (found += chunk));
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => (found += chunk));
  assert.equal(await ended, "exited with status 0", found);
  return new Map(
    found
      .trim()
      .split("\n")
      .map((line) => line.split(" ") as [string, string]),
  );
}

test(
  "a program in workerd's place finds nothing but its own files and sockets",
  { skip },
  async () => {
    const found = await attack("required");
    const needed = new Set(["own-configuration", "own-binding", "socket-folder-written"]);
    assert.ok(found.size > 20);
    for (const [what, answer] of found) {
      assert.equal(answer, needed.has(what) ? "yes" : "no", what);
    }
  },
);

test("without the sandbox the same program finds all of it", { skip }, async () => {
  const found = await attack("off");
  for (const what of [
    "master-key",
    "database",
    "admin-socket",
    "victims-socket",
    "victims-binding",
    "victims-configuration",
    "victims-secrets",
    "victim-killed",
    "gateway-killed",
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

function folderOf(name: string): string {
  const generations = join(platform.dataFolder, "run", "g");
  const folder = readdirSync(generations).find((id) =>
    readFileSync(join(generations, id, "m0"), "utf8").includes(answering(name)),
  );
  return join(generations, folder!);
}

function whyNot(): string | false {
  if (process.platform !== "linux") return "needs Linux";
  if (spawnSync("gcc", ["--version"]).status !== 0) return "needs gcc";
  const line = ["--ro-bind", "/", "/", "--unshare-user", "--unshare-pid", "true"];
  return spawnSync("bwrap", line).status === 0 ? false : "needs bubblewrap and user namespaces";
}
