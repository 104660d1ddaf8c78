import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

// Built from the files that are committed or about to be, never from `npm run build`'s output here, because users have
// a clone. `examples/packed.test.ts` does the same with npm and a registry, on every supported Node.

const root = join(import.meta.dirname, "../..");
const run = promisify(execFile);
const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, unknown>>;
  readonly version: string;
};

describe("what `npm pack` makes of a clone", () => {
  let folder: string;
  let project: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-package-"));
    project = join(folder, "project");
    const tarball = await pack(folder);
    await unpackInto(project, tarball);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const name of Object.keys(manifest.exports)) {
    test(`${name} can be imported from a project`, async () => {
      const specifier = `countersign${name.slice(1)}`;
      const how = name.endsWith(".json") ? ', { with: { type: "json" } }' : "";
      const script = `const all = await import(${JSON.stringify(specifier)}${how});
        if (Object.keys(all).length === 0) throw new Error("exports nothing")`;
      await run(process.execPath, ["--input-type=module", "-e", script], { cwd: project });
    });
  }

  test("the command line runs from it, without src/", async () => {
    const program = join(project, "node_modules/countersign/bin/countersign.js");
    const { stdout } = await run(process.execPath, [program, "--version"], { cwd: project });
    assert.equal(stdout.trim(), manifest.version);
    const content = await readdir(join(project, "node_modules/countersign"));
    assert.ok(!content.includes("src"));
  });
});

test("without development dependencies `prepare` says how to build, and does not fail", async () => {
  const folder = await mkdtemp(join(tmpdir(), "countersign-package-"));
  try {
    await mkdir(join(folder, "scripts"));
    const script = join(folder, "scripts/prepare.mjs");
    await writeFile(script, await readFile(join(root, "scripts/prepare.mjs")));
    const { stderr } = await run(process.execPath, [script]);
    assert.match(stderr, /run `npm ci` in /);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

async function pack(folder: string): Promise<string> {
  const clone = join(folder, "clone");
  await mkdir(clone);
  const command = `git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [ -e "$f" ] && printf '%s\\0' "$f"; done | tar -c --null -T - | tar -x -C "$0"`;
  await run("bash", ["-c", command, clone], { cwd: root });
  await symlink(join(root, "node_modules"), join(clone, "node_modules"));
  const env = { ...process.env, npm_config_update_notifier: "false" };
  await run("npm", ["pack", "--pack-destination", folder], { cwd: clone, env });
  const made = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  assert.ok(made, "npm pack made no tarball");
  return join(folder, made);
}

/** Unpacks as npm would, except that the other packages are this repository's. */
async function unpackInto(project: string, tarball: string): Promise<void> {
  const modules = join(project, "node_modules");
  await mkdir(join(modules, "countersign"), { recursive: true });
  await run("tar", ["-xzf", tarball, "--strip-components=1", "-C", join(modules, "countersign")]);
  await writeFile(join(project, "package.json"), `{ "name": "project", "type": "module" }`);
  for (const name of await readdir(join(root, "node_modules"))) {
    if (name === "countersign" || name.startsWith(".")) continue;
    await symlink(join(root, "node_modules", name), join(modules, name));
  }
}
