import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { countersign } from "../test/helpers/cli.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPlatform } from "../test/helpers/platform.ts";

const run = promisify(execFile);

const terraform = process.env["TERRAFORM"] ?? "terraform";
const provider = process.env["TERRAFORM_PROVIDER"];
const skip = whySkipped();

test(
  "Terraform makes, changes and takes away each resource, and plans nothing in between",
  {
    skip,
  },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "countersign-terraform-"));
    const platform = await startPlatform();
    try {
      const printed = await countersign(["env", "--json", "--data", platform.dataFolder]);
      const authority = await makeAuthority();
      const { chain, key } = await authority.issue({ subject: "CN=client" });
      const file = async (name: string, text: string): Promise<string> => {
        await writeFile(join(folder, name), text);
        return join(folder, name);
      };
      const keyFile = await file("client.key", key);
      const csr = join(folder, "device.csr");
      const subject = ["-subj", "/CN=device", "-out", csr];
      await run("openssl", ["req", "-new", "-key", keyFile, ...subject]);
      const store = `http://terraform-store.localhost:${new URL(platform.ready.http).port}/`;
      const { stdout } = await run(join(import.meta.dirname, "terraform", "run.sh"), [], {
        maxBuffer: 64 * 1024 * 1024,
        env: {
          ...process.env,
          ...(JSON.parse(printed.stdout) as Record<string, string>),
          PROVIDER: provider,
          TERRAFORM: terraform,
          TF_CLI_ARGS: "-no-color",
          TF_VAR_certificate: await file("client.pem", chain),
          TF_VAR_private_key: keyFile,
          TF_VAR_ca: await file("ca.pem", authority.pem),
          TF_VAR_csr: csr,
          CHECK: `curl --silent --fail ${store}`,
        },
      });
      assert.match(stdout, /^\["2","release 2",\[.*"DATABASE","DB".*\]\]/m);
      assert.match(stdout, /apply, plan, change, replace and destroy worked/);
    } finally {
      await platform[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    }
  },
);

function whySkipped(): string | false {
  if (provider === undefined)
    return "TERRAFORM_PROVIDER names no folder with Cloudflare's provider";
  const { status } = spawnSync(terraform, ["version"]);
  return status === 0 ? false : `${terraform} is not there`;
}
