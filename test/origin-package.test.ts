import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const source = join(import.meta.dirname, "../packages/origin");

let project: string;
let installed: string;

before(async () => {
  project = await mkdtemp(join(tmpdir(), "origin-package-"));
  await writeFile(join(project, "package.json"), JSON.stringify({ type: "module", private: true }));
  // Built in a copy, because other tests import from the original.
  const copy = join(project, "source/packages/origin");
  await cp(source, copy, { recursive: true });
  await cp(join(source, "../../tsconfig.json"), join(project, "source/tsconfig.json"));
  await symlink(join(source, "../../node_modules"), join(project, "source/node_modules"));
  const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", project], {
    cwd: copy,
  });
  // `prepack` prints text before the list.
  const [{ filename }] = JSON.parse(stdout.slice(stdout.indexOf("[\n"))) as [{ filename: string }];
  await run("npm", ["install", "--offline", "--no-audit", "--no-fund", `./${filename}`], {
    cwd: project,
  });
  installed = join(project, "node_modules/countersign-origin");
});

after(() => rm(project, { recursive: true, force: true }));

test("the origin's package installs offline, brings nothing else, and every export can be imported", async () => {
  const packages = (await readdir(join(project, "node_modules"))).filter(
    (name) => !name.startsWith("."),
  );
  assert.deepEqual(packages, ["countersign-origin"]);
  const { exports } = JSON.parse(await readFile(join(installed, "package.json"), "utf8")) as {
    exports: object;
  };
  const names = Object.keys(exports).filter((name) => !name.endsWith(".json"));
  const script = names
    .map(
      (name) =>
        `const m${names.indexOf(name)} = await import("countersign-origin${name.slice(1)}");`,
    )
    .concat("console.log(typeof m0.parsePolicy, typeof m1.authorize);")
    .join("\n");
  await writeFile(join(project, "all.js"), script);
  const { stdout } = await run(process.execPath, ["all.js"], { cwd: project });
  assert.equal(stdout, "function function\n");
});

test("the origin's package imports nothing but Node's own modules, and in a Worker not even these", async () => {
  const files = (await readdir(join(installed, "dist"), { recursive: true })).filter((file) =>
    file.endsWith(".js"),
  );
  assert.ok(files.length > 10);
  const imports = new Map<string, string[]>();
  for (const file of files) {
    const text = await readFile(join(installed, "dist", file), "utf8");
    imports.set(
      file,
      [...text.matchAll(/(?:from|import) ?\(?"([^"]+)"/g)].map(([, name]) => name!),
    );
  }
  const foreign = [...imports.values()].flat().filter((name) => !name.startsWith("."));
  assert.deepEqual(
    foreign.filter((name) => !name.startsWith("node:")),
    [],
  );
  assert.deepEqual(
    reach(imports, ["index.js", "adapters/worker.js"]).filter((name) => name.startsWith("node:")),
    [],
  );
});

/** All modules that these files import, directly or not. */
function reach(
  imports: ReadonlyMap<string, readonly string[]>,
  files: readonly string[],
): string[] {
  const seen = new Set(files);
  for (const file of seen) {
    for (const name of imports.get(file) ?? [])
      seen.add(name.startsWith(".") ? join(file, "..", name) : name);
  }
  return [...seen];
}

test("the README's server lets in what its policy says", async () => {
  const readme = await readFile(join(source, "README.md"), "utf8");
  const code = /```js\n([\s\S]+?)```/.exec(readme)?.[1];
  assert.ok(code !== undefined);
  const { makeAuthority } = await import("./helpers/pki.ts");
  const authority = await makeAuthority();
  const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
  const spiffe = "spiffe://example.org/account/acme/worker/c";
  const client = await authority.issue({ subject: "O=acme,CN=c", uris: [spiffe] });
  await writeFile(join(project, "acme-bundle.pem"), authority.pem);
  await writeFile(join(project, "server.pem"), server.chain);
  await writeFile(join(project, "server.key"), server.key);
  await writeFile(join(project, "client.pem"), client.chain + client.key);
  // The test adds only a free port, and the end after two requests.
  const asked = code.replace(
    "listen(8443)",
    `listen(0, "127.0.0.1", async function () {
    const { request } = await import("node:https");
    const pem = readFileSync("client.pem");
    for (const method of ["GET", "POST"]) await new Promise((done) => {
      request({ port: this.address().port, host: "127.0.0.1", servername: "localhost", method, cert: pem, key: pem, ca: readFileSync("acme-bundle.pem"), agent: false },
        (r) => r.on("data", (d) => console.log(r.statusCode, String(d))).on("end", done)).end();
    });
    process.exit();
  })`,
  );
  await writeFile(join(project, "server.js"), asked);
  const { stdout } = await run(process.execPath, ["server.js"], { cwd: project });
  assert.match(
    stdout,
    /^200 Hello c\n\n403 .*method_not_allowed.*may GET, and no rule lets it POST/,
  );
});
