import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { startOrigin, type TestOrigin } from "./helpers/origin.ts";
import { makeAuthority, type TestAuthority } from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { program } from "./helpers/program.ts";

const root = join(import.meta.dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

let folder: string;
let authority: TestAuthority;
let origin: TestOrigin;
let platform: TestPlatform;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-readme-"));
  authority = await makeAuthority();
  origin = await startOrigin({ authority });
  const client = await authority.issue({ subject: "CN=reader" });
  writeFileSync(join(folder, "cert.pem"), client.chain);
  writeFileSync(join(folder, "key.pem"), client.key);
  writeFileSync(join(folder, "ca.pem"), authority.pem);
  installInto(folder);
  platform = await startPlatform();
});

after(async () => {
  await platform[Symbol.asyncDispose]();
  await origin[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Installs what `npm install countersign wrangler hono` would. */
function installInto(project: string): void {
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, ".bin"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (name !== ".bin") symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  for (const name of readdirSync(join(root, "node_modules", ".bin"))) {
    symlinkSync(join(root, "node_modules", ".bin", name), join(modules, ".bin", name));
  }
  symlinkSync(program, join(modules, ".bin", "countersign"));
}

function blocks(language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(
    ([, text]) => text!,
  );
}

async function shell(script: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", script], {
    cwd: folder,
    env: {
      ...process.env,
      HOME: folder,
      XDG_CONFIG_HOME: folder,
      COUNTERSIGN_DATA: platform.dataFolder,
      NO_COLOR: "1",
      CI: "true",
    },
  });
  return stdout + stderr;
}

test("the README's commands, run one after the other, end in an answer over mutual TLS", async () => {
  const [, start, setUp, trust, deploy] = blocks("sh");
  assert.equal(start, "npx countersign start --dev\n");
  const uploaded = await shell(setUp!);
  const id = /^ID: (\S+)$/m.exec(uploaded)?.[1];
  assert.ok(id, uploaded);

  const [configuration] = blocks("jsonc");
  writeFileSync(join(folder, "wrangler.jsonc"), configuration!.replace("<CERTIFICATE_ID>", id));
  const [code] = blocks("ts");
  mkdirSync(join(folder, "src"));
  writeFileSync(
    join(folder, "src", "index.ts"),
    code!.replace("https://a-secured-origin.com", origin.url),
  );
  // The README has the default port; this platform has taken a free one.
  const { port } = new URL(platform.ready.http);
  const environment = `eval "$(npx countersign env)"\n`;
  await shell(environment + trust!);
  const answer = await shell(environment + deploy!.replace("4480", port));
  assert.match(answer, new RegExp(`my-worker answers at http://my-worker.localhost:${port}/`));
  assert.match(answer, /"subject":"CN=reader"/);
});

test("the README's first commands are npm scripts that exist", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const commands = blocks("sh").filter((block) => block.startsWith("npm ci && "));
  assert.equal(commands.length, 2);
  for (const command of commands) {
    const name = command.replace("npm ci && npm ", "").replace("run ", "").trim();
    assert.ok(scripts[name], `there is no npm script "${name}"`);
  }
});
