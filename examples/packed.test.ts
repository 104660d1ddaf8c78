import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

// What a user does: git clone, npm ci, npm pack, npm install in an empty project, with the project's own Node.

const root = join(import.meta.dirname, "..");
const run = promisify(execFile);
const quiet = ["--no-audit", "--no-fund", "--prefer-offline"];
const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly version: string;
};

let folder: string;
let clone: string;
let tarball: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-packed-"));
  clone = join(folder, "clone");
  await run("git", ["clone", "--quiet", "--depth", "1", `file://${root}`, clone]);
  await run("npm", ["ci", ...quiet], { cwd: clone });
  await run("npm", ["pack", "--pack-destination", folder], { cwd: clone });
  const made = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  tarball = join(folder, made ?? "");
});
after(() => rm(folder, { recursive: true, force: true }));

for (const [node, what] of [
  ["24", "the package that `npm pack` makes"],
  ["26", "the package that `npm pack` makes"],
  ["26", "the clone, as a folder"],
] as const) {
  describe(`${what}, with Node ${node}`, () => {
    let project: string;
    before(async () => {
      project = await mkdtemp(join(folder, "project-"));
      await writeFile(join(project, "package.json"), `{ "name": "project", "type": "module" }`);
      const source = what.startsWith("the clone") ? clone : tarball;
      await run("npm", ["install", ...quiet, source, `node@${node}`, "wrangler@4.164.0"], {
        cwd: project,
      });
      await mkdir(join(project, "home"));
    });

    test("every export can be imported", async () => {
      for (const name of Object.keys(manifest.exports)) {
        const how = name.endsWith(".json") ? ', { with: { type: "json" } }' : "";
        await inProject(project, [
          "--input-type=module",
          "-e",
          `await import("countersign${name.slice(1)}"${how})`,
        ]);
      }
    });

    test("the command line runs", async () => {
      const program = "node_modules/countersign/bin/countersign.js";
      assert.equal((await inProject(project, [program, "--version"])).trim(), manifest.version);
      assert.match(await inProject(project, ["--version"]), new RegExp(`^v${node}\\.`));
      const data = join(project, "data");
      const checked = await inProject(project, [program, "doctor", "--data", data, "--json"]);
      assert.match(checked, /"name":"workerd","result":"ok"/);
    });
  });
}

async function inProject(project: string, args: readonly string[]): Promise<string> {
  const node = join(project, "node_modules/.bin/node");
  return (await run(node, args, { cwd: project })).stdout;
}
