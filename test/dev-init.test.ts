import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { loadWrangler } from "../src/dev/wrangler/wrangler.ts";
import { makeProject, type TestProject } from "./helpers/dev-project.ts";

const manifest = `{
\t"name": "shop",
\t"scripts": {
\t\t"dev": "wrangler dev --test-scheduled"
\t}
}
`;
const jsonc = `{
  // The shop.
  "name": "shop",
  "main": "index.js",
  "compatibility_date": "2025-11-17",
}
`;
const files = {
  "package.json": manifest,
  "index.js": `export default { fetch: () => new Response("ok") }`,
};

async function init(project: TestProject, ...args: readonly string[]): Promise<string> {
  await using running = project.run("init", ...args);
  assert.equal(await running.ended, 0, running.output);
  return running.output;
}

async function read(project: TestProject, name: string): Promise<string> {
  return readFile(project.path(name), "utf8");
}

/** The bindings as wrangler reads them. */
async function bindings(
  project: TestProject,
  file: string,
  environment?: string,
): Promise<readonly string[]> {
  const wrangler = await loadWrangler(project.folder);
  const found = wrangler.readProject({ configPath: project.path(file), environment });
  return found.bindings.map(({ name }) => name);
}

describe("countersign init", () => {
  test("shows the diff, and changes nothing before it is told to", async () => {
    await using project = await makeProject({ ...files, "wrangler.jsonc": jsonc });
    const said = await init(project);
    assert.match(said, /^\+.*"mtls_certificates"/m);
    assert.match(said, /^\+.*"dev": "countersign dev --test-scheduled"/m);
    assert.match(said, /^-.*"dev": "wrangler dev --test-scheduled"/m);
    assert.match(said, /^\+\.countersign\//m);
    assert.equal(await read(project, "wrangler.jsonc"), jsonc);
    assert.equal(await read(project, "package.json"), manifest);
  });

  test("adds what is missing, keeps comments and indentation, and a second run finds nothing", async () => {
    await using project = await makeProject({ ...files, "wrangler.jsonc": jsonc });
    await init(project, "--yes");
    const configuration = await read(project, "wrangler.jsonc");
    assert.match(configuration, /\/\/ The shop\./);
    assert.match(configuration, /"binding": "MY_CERT"/);
    const after = await read(project, "package.json");
    assert.match(after, /^\t\t"origin": "countersign dev origin"/m);
    const { devDependencies } = JSON.parse(after) as { devDependencies: Record<string, string> };
    const [, path = ""] = /^file:(.+)$/.exec(devDependencies["countersign"] ?? "") ?? [];
    assert.equal(join(project.folder, path), join(import.meta.dirname, ".."));
    assert.equal(await read(project, ".gitignore"), ".countersign/\n");
    assert.match(await init(project, "--yes"), /nothing to do/);
    await using dev = await project.dev();
    assert.equal(await (await fetch(dev.url)).text(), "ok");
    assert.match(dev.output, /MY_CERT presents/);
  });

  test("adds a second binding, to an environment, and its type", async () => {
    await using project = await makeProject({
      ...files,
      "tsconfig.json": "{}",
      "wrangler.jsonc": `{
  "name": "shop",
  "main": "index.js",
  "compatibility_date": "2025-11-17",
  "env": { "staging": { "mtls_certificates": [{ "binding": "ONE", "certificate_id": "x" }] } },
}`,
    });
    await init(project, "--env", "staging", "--binding", "TWO", "--yes");
    assert.deepEqual(await bindings(project, "wrangler.jsonc", "staging"), ["ONE", "TWO"]);
    assert.match(await read(project, "worker-configuration.d.ts"), /TWO\??: Fetcher/);
  });

  test("writes TOML where the project has TOML", async () => {
    const toml = `# The shop.\nname = "shop"\nmain = "index.js"\ncompatibility_date = "2025-11-17"`;
    await using project = await makeProject({ ...files, "wrangler.toml": toml });
    await init(project, "--yes");
    assert.ok((await read(project, "wrangler.toml")).startsWith(`${toml}\n`));
    assert.match(await init(project, "--yes"), /nothing to do/);
    assert.deepEqual(await bindings(project, "wrangler.toml"), ["MY_CERT"]);
  });

  test("a configuration with an error is left as it is, in wrangler's words", async () => {
    await using project = await makeProject({ ...files, "wrangler.json": `{ "name": }` });
    await using running = project.run("init", "--yes");
    assert.equal(await running.ended, 1);
    assert.match(running.output, /wrangler\.json:1:\d+: ValueExpected/);
  });

  test("a folder that is no Wrangler project is said to be none", async () => {
    await using project = await makeProject({ "package.json": manifest });
    await using running = project.run("init");
    assert.equal(await running.ended, 1);
    assert.match(running.output, /dev_project_missing/);
  });
});
