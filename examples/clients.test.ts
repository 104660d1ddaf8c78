import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { countersign } from "../test/helpers/cli.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";

// Other clients, configured only with what `countersign env` prints.

const run = promisify(execFile);

let platform: TestPlatform;
let folder: string;
let env: Readonly<Record<string, string>>;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "countersign-clients-"));
  platform = await startPlatform();
  const printed = await countersign(["env", "--json", "--data", platform.dataFolder]);
  env = { PATH: process.env["PATH"] ?? "", HOME: folder, ...JSON.parse(printed.stdout) };
  const { chain, key } = await (await makeAuthority()).issue({ subject: "CN=client" });
  await writeFile(join(folder, "client.pem"), chain);
  await writeFile(join(folder, "client.key"), key);
  await writeFile(join(folder, "ca.pem"), (await makeAuthority("Its CA")).pem);
});
after(async () => {
  await platform?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe("Cloudflare's SDK for Python", () => {
  test("manages certificates, a Worker and tokens", async () => {
    const python = join(folder, "venv", "bin", "python");
    const example = join(import.meta.dirname, "sdk-python");
    await run("python3", ["-m", "venv", join(folder, "venv")]);
    await run(python, ["-m", "pip", "install", "-q", "-r", join(example, "requirements.txt")]);
    const args = [join(example, "main.py"), "client.pem", "client.key", "--keep"];
    const { stdout } = await run(python, args, { cwd: folder, env });
    assert.match(stdout, /done/);
    const answer = await platform.worker("python");
    assert.deepEqual([answer.status, answer.body], [200, '["CERT"]'], answer.body);
  });
});

describe("a client that is generated from the OpenAPI document", () => {
  test("the document is valid, the client compiles, its results are typed, and it works", async () => {
    const project = join(folder, "generated");
    await cp(join(import.meta.dirname, "openapi-client"), project, {
      recursive: true,
      filter: (path) => !path.includes("node_modules"),
    });
    const document = await fetch(`${platform.ready.api}/openapi.json`);
    await writeFile(join(project, "openapi.json"), await document.text());
    const npm = (...args: string[]) => run("npm", args, { cwd: project });
    await npm("install", "--no-audit", "--no-fund");
    await npm("run", "generate");
    await npm("run", "build");
    await writeFile(join(project, "ca.pem"), (await makeAuthority("Generated CA")).pem);
    const { stdout } = await run(process.execPath, ["dist/main.js", "ca.pem"], {
      cwd: project,
      env,
    });
    const { daysLeft, names, scripts, ...rest } = JSON.parse(stdout) as {
      daysLeft: number;
      names: string[];
      scripts: string[];
    };
    assert.ok(daysLeft > 0 && names.includes("generated") && scripts.includes("generated"), stdout);
    const expected = { status: "active", handlers: ["fetch"], date: "2026-01-01", code: 10007 };
    assert.deepEqual(rest, expected);
    assert.equal((await platform.worker("generated")).body, "generated");
  });
});

const { stdout: go } = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" });
const hasGo = /^go1\.(2[2-9]|[3-9]\d)/.test(go ?? "");

describe("the calls of Terraform's provider", { skip: hasGo ? false : "no Go 1.22" }, () => {
  test("create, read, change, replace and delete each resource of examples/terraform", async () => {
    const program = join(folder, "provider-calls");
    await run("go", ["build", "-o", program, "."], {
      cwd: join(import.meta.dirname, "terraform", "provider-calls"),
      env: { ...process.env, GOFLAGS: "-p=1 -buildvcs=false" },
    });
    // A different certificate from the Python example's, because an account can have a certificate only once.
    const { chain, key } = await (await makeAuthority()).issue({ subject: "CN=provider" });
    await writeFile(join(folder, "provider.pem"), chain);
    await writeFile(join(folder, "provider.key"), key);
    const args = ["provider.pem", "provider.key", "ca.pem"];
    const { stdout } = await run(program, args, { cwd: folder, env });
    assert.match(stdout, /created, read, changed and deleted/);
  });
});
