import assert from "node:assert/strict";
import { execFile, type ExecFileException } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";

// Examples whose READMEs are followed word for word: each `sh` block is run, and its output must match the `text`
// block.

const root = join(import.meta.dirname, "..");
let platform: TestPlatform;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-ingress-"));
  await mkdir(join(folder, "bin"));
  await symlink(join(root, "bin", "countersign.js"), join(folder, "bin", "countersign"));
  platform = await startPlatform({ args: ["--https-port", "0"] });
});
after(async () => {
  await platform?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

for (const [name, what] of [
  ["client-certificate", "a Worker behind a required client certificate"],
  ["service-token", "a Worker behind a service token"],
] as const) {
  test(`${name}: ${what}, as its README says`, { timeout: 180_000 }, async () => {
    const project = join(folder, name);
    await cp(join(import.meta.dirname, name), project, {
      recursive: true,
      filter: (path) => !path.includes("node_modules"),
    });
    const readme = await readFile(join(project, "README.md"), "utf8");
    const blocks = [...readme.matchAll(/^```(sh|text)\n(.*?)^```/gms)];
    const commands = blocks.filter(
      ([, kind, block]) => kind === "sh" && !block!.startsWith("countersign start"),
    );
    assert.ok(commands.length > 3, readme);
    const said = await bash(project, commands.map(([, , block]) => block).join("\n"));
    let rest = said;
    for (const [, kind, block] of blocks) {
      if (kind !== "text") continue;
      for (const line of block!.trim().split("\n")) {
        const found = patternOf(line).exec(rest);
        assert.ok(found, `${line} is not in:\n${said}`);
        rest = rest.slice(found.index + found[0].length);
      }
    }
  });
}

/** `…` stands for anything on a line. */
function patternOf(line: string): RegExp {
  const parts = line.split("…").map((part) => RegExp.escape(part.trim()));
  return new RegExp(`^${parts.join(".*")}$`, "m");
}

/** The output on stdout. @throws with all output, if a command fails */
function bash(cwd: string, script: string): Promise<string> {
  const { http, https } = platform.ready;
  const code = script
    .replaceAll("npx wrangler", "wrangler")
    .replaceAll(":8443", `:${new URL(https!).port}`)
    .replaceAll(":8080", `:${new URL(http).port}`);
  const paths = [join(folder, "bin"), join(root, "node_modules", ".bin"), process.env["PATH"]];
  const env = {
    ...process.env,
    PATH: paths.join(":"),
    HOME: folder,
    COUNTERSIGN_DATA: platform.dataFolder,
    WRANGLER_SEND_METRICS: "false",
    CI: "true",
  };
  return new Promise((resolve, reject) => {
    const done = (error: ExecFileException | null, stdout: string, stderr: string): void => {
      if (error === null) resolve(stdout);
      else reject(new Error(`status ${error.code}\n${stdout}\n${stderr}`));
    };
    execFile("bash", ["--norc", "-euo", "pipefail", "-c", code], { cwd, env }, done);
  });
}
