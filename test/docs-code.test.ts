import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { devFileSchema, readDevFile } from "../src/dev/file.ts";
import { parsePolicy } from "countersign-origin";
import { countersign } from "./helpers/cli.ts";
import { makeAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const root = join(import.meta.dirname, "..");

/** The fenced blocks of a page, in their order. */
async function blocksOf(page: string, language: string): Promise<readonly string[]> {
  const text = await readFile(join(root, "docs", page), "utf8");
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, "gms");
  return [...text.matchAll(fence)].map(([, block]) => block!);
}

describe("the code in the docs runs unchanged", () => {
  let platform: TestPlatform;
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "countersign-docs-"));
    platform = await startPlatform();
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test("access.md: a host is put behind a service token, and lets in clients that have it", async () => {
    const shell = await blocksOf("access.md", "sh");
    const block = shell.find((text) => text.includes('"$api/apps"')) ?? "";
    const [beginning = "", application = ""] = block.split("# The answer has the aud");
    const printed = await countersign(["env", "--json", "--data", platform.dataFolder]);
    const bash = async (code: string): Promise<Record<string, any>> => {
      const env = { PATH: process.env["PATH"], ...(JSON.parse(printed.stdout) as object) };
      const { stdout } = await promisify(execFile)("bash", ["-c", code], { env });
      return (JSON.parse(stdout) as { result: Record<string, any> }).result;
    };
    const token = await bash(beginning);
    assert.match(token["client_id"], /\.access$/);
    const [apps = ""] = application.split("\ncurl ");
    const app = await bash(
      `${beginning.split("# The answer")[0]}#${apps.replace("ID OF THE SERVICE TOKEN", token["id"])}`,
    );
    assert.match(app["aud"], /^[0-9a-f]{64}$/);
    // The last line of the block, for a Worker at that host.
    const form = scriptForm(
      { compatibility_date: "2026-11-01" },
      {
        "index.js": [
          "application/javascript+module",
          "export default { fetch: () => new Response('let in') };",
        ],
      },
    );
    await platform.api("PUT", "/accounts/{account}/workers/scripts/behind", form);
    const domain = { hostname: "orders.example.com", service: "behind", environment: "production" };
    await platform.api("PUT", "/accounts/{account}/workers/domains", domain);
    const curl = application.slice(application.indexOf("\ncurl ")).trim();
    assert.match(curl, /CF-Access-Client-Id: …" -H "CF-Access-Client-Secret: …"/);
    const asked = async (line: string): Promise<string> => {
      const here = line.replace("https://orders.example.com", platform.ready.http);
      const code = here.replace("curl ", "curl -sS -H 'Host: orders.example.com' ");
      return (await promisify(execFile)("bash", ["-c", code])).stdout;
    };
    const given = [token["client_id"], token["client_secret"]] as string[];
    const parts = curl.split("…");
    assert.equal(await asked(`${parts[0]}${given[0]}${parts[1]}${given[1]}${parts[2]}`), "let in");
    assert.doesNotMatch(await asked(`${parts[0]}${given[0]}${parts[1]}wrong${parts[2]}`), /let in/);
  });

  test("identities.md: its policy is one", async () => {
    const policies = await blocksOf("identities.md", "json");
    const policy = policies.find((text) => text.includes('"allow"')) ?? "";
    assert.equal(parsePolicy(JSON.parse(policy)).allow.length, 2);
  });

  test("wrangler.md: the SDK lists the certificates", async () => {
    const { chain, key } = await (await makeAuthority()).issue({ subject: "CN=documented" });
    const body = { certificates: chain, private_key: key, ca: false, name: "documented" };
    await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    const [code = ""] = await blocksOf("wrangler.md", "ts");
    const printed = await countersign(["env", "--json", "--data", platform.dataFolder]);
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--input-type=module-typescript", "-e", code.replace("…", platform.ready.accountId)],
      { cwd: root, env: { ...(JSON.parse(printed.stdout) as Record<string, string>) } },
    );
    assert.match(stdout, /^documented \d{4}-/);
  });

  test("cli.md: the line of `start --json` has the fields that are shown", async () => {
    const [line = ""] = await blocksOf("cli.md", "json");
    for (const [field, value] of Object.entries(JSON.parse(line) as Record<string, unknown>)) {
      const said = (platform.ready as unknown as Record<string, unknown>)[field];
      assert.equal(typeof said, typeof value, field);
    }
  });
});

test("development.md: countersign.json is one, and its schema is shipped where it says", async () => {
  const [code = ""] = await blocksOf("development.md", "json");
  const folder = await mkdtemp(join(tmpdir(), "countersign-docs-"));
  try {
    await writeFile(join(folder, "countersign.json"), code);
    const file = await readDevFile(folder, "staging");
    assert.deepEqual(file.bindings["MY_CERT"]?.certificate, { name: "staging-cert" });
    const { $schema } = JSON.parse(code) as { $schema: string };
    assert.ok(existsSync(join(root, $schema.replace("./node_modules/countersign/", ""))));
    assert.ok("properties" in devFileSchema());
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
