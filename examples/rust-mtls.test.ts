import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cp, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { countersign } from "../test/helpers/cli.ts";
import { startOrigin, type TestOrigin } from "../test/helpers/origin.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";
import { until } from "../test/helpers/until.ts";
import { wranglerProject, type WranglerProject } from "../test/helpers/wrangler.ts";

const example = join(import.meta.dirname, "rust-mtls");

describe(
  "a Worker in Rust, built by worker-build and deployed by wrangler",
  { skip: whyNot() },
  () => {
    let origin: TestOrigin;
    let platform: TestPlatform;
    let project: WranglerProject;

    before(async () => {
      const authority = await makeAuthority();
      const leaf = await authority.issue({ subject: "CN=rust" });
      origin = await startOrigin({
        authority,
        handler: (_, response) => response.end(`hello ${origin.subjects.at(-1)}`),
      });
      platform = await startPlatform();
      await upload({ name: "ca", certificates: authority.pem, ca: true });
      const pair = { certificates: leaf.chain, private_key: leaf.key, ca: false };
      const certificateId = await upload({ name: "rust", ...pair });
      project = await wranglerProject(platform.ready);
      await cp(example, project.folder, { recursive: true, filter: isSource });
      await edit("wrangler.jsonc", "<CERTIFICATE_ID>", certificateId);
      await edit("src/lib.rs", "https://api.example.com/endpoint", origin.url);
      await edit("src/lib.rs", "_req: Request", "req: Request");
      await edit("src/lib.rs", "    // Get the", `${PANICS}    // Get the`);
      const deployed = await project.run(["deploy"], { env: TOOLS });
      assert.equal(deployed.exitCode, 0, deployed.output);
    });
    after(async () => {
      await project?.[Symbol.asyncDispose]();
      await platform?.[Symbol.asyncDispose]();
      await origin?.[Symbol.asyncDispose]();
    });

    const upload = async (body: object): Promise<string> => {
      const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
      assert.ok(json.success, JSON.stringify(json.errors));
      return (json.result as { id: string }).id;
    };
    const edit = async (file: string, from: string, to: string): Promise<void> => {
      const text = await readFile(join(project.folder, file), "utf8");
      assert.ok(text.includes(from), from);
      await project.write({ [file]: text.replace(from, () => to) });
    };

    test("its binding presents the certificate", async () => {
      const answer = await platform.worker("rust-mtls", "/");
      assert.deepEqual([answer.status, answer.body], [200, "hello CN=rust"], platform.log());
    });

    test("a panic is in the Worker's log with its message, and the next request is answered", async () => {
      assert.equal((await platform.worker("rust-mtls", "/panic")).status, 500);
      await until(async () => {
        const said = await countersign(["logs", "rust-mtls", "--data", platform.dataFolder]);
        return /Rust panic: panicked at src\/lib\.rs:\d+:\d+:\s+nothing for 42/.test(said.stdout);
      });
      assert.equal((await platform.worker("rust-mtls", "/")).status, 200);
    });
  },
);

const PANICS = `    if req.path() == "/panic" {
        panic!("nothing for {}", 42);
    }
`;

/** wrangler has a separate home here; Rust's tools are in the user's home. */
const TOOLS = {
  CARGO_HOME: process.env["CARGO_HOME"] ?? join(homedir(), ".cargo"),
  RUSTUP_HOME: process.env["RUSTUP_HOME"] ?? join(homedir(), ".rustup"),
  // Keeps compiled crates, which take a minute to compile.
  CARGO_TARGET_DIR: join(example, "target"),
  WASM_BINDGEN_BIN: "wasm-bindgen",
  ESBUILD_BIN: join(import.meta.dirname, "../node_modules/.bin/esbuild"),
};

function isSource(path: string): boolean {
  return !/\/(?:target|build|\.gitignore)$/.test(path);
}

function whyNot(): string | false {
  const lock = readFileSync(join(example, "Cargo.lock"), "utf8");
  const bindgen = /name = "wasm-bindgen"\nversion = "(.+)"/.exec(lock)![1]!;
  const needed = { cargo: "", "worker-build": "", "wasm-bindgen": bindgen };
  for (const [tool, version] of Object.entries(needed)) {
    const { stdout } = spawnSync(tool, ["--version"], { encoding: "utf8" });
    if (!stdout?.includes(version)) return `needs ${tool} ${version}`.trim();
  }
  const target = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
  const { stdout: folder } = spawnSync("rustc", target, { encoding: "utf8" });
  return existsSync(folder.trim()) ? false : "needs Rust's target wasm32-unknown-unknown";
}
