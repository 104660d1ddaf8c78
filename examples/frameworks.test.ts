import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { startOrigin, type TestOrigin } from "../test/helpers/origin.ts";
import { makeAuthority } from "../test/helpers/pki.ts";
import { startPlatform, type TestPlatform } from "../test/helpers/platform.ts";
import { wranglerProject, type WranglerProject } from "../test/helpers/wrangler.ts";

// Pages of the frameworks that `npm create cloudflare` offers, built with their own tools and deployed with wrangler.

const run = promisify(execFile);
const examples = join(import.meta.dirname, "frameworks");

describe("a framework's project, built by its own tools and deployed by wrangler", () => {
  let origin: TestOrigin;
  let platform: TestPlatform;
  let certificateId: string;

  before(async () => {
    const authority = await makeAuthority();
    const leaf = await authority.issue({ subject: "CN=shop" });
    origin = await startOrigin({ authority, handler: (_, response) => response.end(caller()) });
    platform = await startPlatform();
    await upload({ name: "ca", certificates: authority.pem, ca: true });
    certificateId = await upload({
      name: "shop",
      certificates: leaf.chain,
      private_key: leaf.key,
      ca: false,
    });
  });
  after(async () => {
    await platform?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
  });

  const caller = (): string => origin.subjects.at(-1) ?? "nobody";
  const upload = async (body: object): Promise<string> => {
    const { json } = await platform.api("POST", "/accounts/{account}/mtls_certificates", body);
    assert.ok(json.success, JSON.stringify(json.errors));
    return (json.result as { id: string }).id;
  };

  /** Copies the framework's project, configures it for this platform and builds it. */
  const build = async (framework: string, project: WranglerProject): Promise<void> => {
    const example = join(examples, framework);
    await cp(example, project.folder, { recursive: true, filter: isNoPackage });
    // Next uses no packages from outside the project.
    const home = framework === "next" ? project.folder : example;
    await run("npm", ["install", "--no-audit", "--no-fund", "--no-package-lock"], { cwd: home });
    if (home === example) {
      await symlink(join(example, "node_modules"), join(project.folder, "node_modules"));
    }
    const config = JSON.parse(await readFile(join(example, "wrangler.json"), "utf8")) as object;
    await project.write({
      "wrangler.json": {
        ...config,
        vars: { SUPPLIER: origin.url },
        mtls_certificates: [{ binding: "SUPPLIER_CERT", certificate_id: certificateId }],
      },
    });
    const quiet = {
      CI: "1",
      ASTRO_TELEMETRY_DISABLED: "1",
      NEXT_TELEMETRY_DISABLED: "1",
      WRANGLER_SEND_METRICS: "false",
    };
    // OpenNext itself calls the script `build`, which is Next's own.
    const script = framework === "next" ? "build:worker" : "build";
    await run("npm", ["run", script], { cwd: project.folder, env: { ...process.env, ...quiet } });
  };

  for (const [framework, name] of Object.entries({
    astro: "Astro",
    next: "Next",
    nuxt: "Nuxt",
    "react-router": "React Router",
    sveltekit: "SvelteKit",
  })) {
    test(`${name}: the page is rendered with what an origin said over mutual TLS, and its file is served`, async () => {
      await using project = await wranglerProject(platform.ready);
      await build(framework, project);
      const deploy = await project.run(["deploy"]);
      assert.equal(deploy.exitCode, 0, deploy.output);

      const page = await platform.worker(`frameworks-${framework}`);
      assert.equal(page.status, 200, page.body + platform.log());
      assert.match(page.body, /The supplier sees CN=shop/);
      const file = await platform.worker(`frameworks-${framework}`, "/note.txt");
      assert.equal(file.status, 200);
      assert.equal(file.body, `made for ${name}\n`);
      const missing = await platform.worker(`frameworks-${framework}`, "/missing");
      assert.equal(missing.status, 404);
    });
  }
});

function isNoPackage(source: string): boolean {
  return !source.endsWith("node_modules");
}
