import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import type { Command } from "commander";
import { createProgram } from "../src/cli/program.ts";
import { failures, type FailureCode } from "../src/failures/failures.ts";
import { countersign } from "./helpers/cli.ts";
import { startControl } from "./helpers/control.ts";
import {
  makeAuthority,
  selfSigned,
  type TestAuthority,
  type TestCertificate,
} from "./helpers/pki.ts";
import { startPlatform, type TestPlatform } from "./helpers/platform.ts";
import { scriptForm } from "./helpers/script-form.ts";

const program = await createProgram(
  { stdout: process.stdout, stderr: process.stderr, cwd: process.cwd(), env: {} },
  null,
);

test("every countersign command that a fix names is one of the CLI, options and all", () => {
  let count = 0;
  for (const { code, command } of commandsOf("countersign")) {
    count += 1;
    assert.equal(wrongWith(command), null, `${code}: \`${command}\``);
  }
  assert.ok(count > 30, `${count} commands`);
  assert.equal(wrongWith("certificate upload --cert a --nonsense"), "--nonsense");
  assert.equal(wrongWith("certificate sing"), "sing");
  assert.equal(wrongWith("certificate show one two"), "two");
});

test("every wrangler command that a fix names is one of the wrangler that is installed", async () => {
  const bundle = await wranglerBundle();
  for (const { code, command } of commandsOf("wrangler")) {
    const name = command.replace(/ (?:--|[A-Z<…]).*$/, "");
    assert.ok(bundle.includes(`"wrangler ${name}"`), `${code}: \`wrangler ${command}\``);
  }
});

test("every flag that a fix names outside of a command is an option of the CLI or of wrangler", async () => {
  const known = new Set(optionsOf(program));
  const wrangler = await wranglerBundle();
  let count = 0;
  for (const [code, { fix }] of Object.entries(failures)) {
    const plain = fix.replaceAll(/`[a-z][\w-]* [^`]*`/g, "");
    for (const [flag] of plain.matchAll(/(?<![\w-])--[a-z][a-z-]+/g)) {
      count += 1;
      const isKnown = known.has(flag) || flag === "--help";
      const name = flag.slice(2);
      const isWranglers = wrangler.includes(`"${name}"`) || wrangler.includes(` ${name}: {`);
      assert.ok(isKnown || isWranglers, `${code}: ${flag}`);
    }
  }
  assert.ok(count > 15, `${count} flags`);
});

test("every command of OpenSSL that a fix names has the options that it is given", () => {
  let count = 0;
  for (const { code, command } of commandsOf("openssl")) {
    const [name = "", ...words] = command.split(" ");
    const { stderr, stdout } = spawnSync("openssl", [name, "-help"], { encoding: "utf8" });
    for (const option of words.filter((word) => /^-[a-z]/.test(word))) {
      count += 1;
      const cipher = /^-aes\d+$/.test(option) && stderr.includes("-*");
      assert.ok(
        `${stdout}${stderr}`.includes(` ${option} `) || cipher,
        `${code}: ${command}: ${option}`,
      );
    }
  }
  assert.ok(count > 30, `${count} options`);
});

test("every file, variable and endpoint that a fix names is there", async () => {
  await using control = await startControl();
  const document = (await (await fetch(`${control.api}/openapi.json`)).json()) as { paths: object };
  const paths = ["/openapi.json", ...Object.keys(document.paths)];
  const root = join(import.meta.dirname, "..");
  const sources = await Promise.all(
    (await readdir(join(root, "src"), { recursive: true }))
      .filter((name) => name.endsWith(".ts") && !name.startsWith("failures"))
      .map((name) => readFile(join(root, "src", name), "utf8")),
  );
  const source = sources.join("");
  const found = { files: 0, variables: 0, endpoints: 0 };
  for (const [code, { fix }] of Object.entries(failures)) {
    for (const [file] of fix.matchAll(/(?:docs|assets)\/[\w./-]+\w/g)) {
      found.files += 1;
      assert.ok(existsSync(join(root, file)), `${code}: ${file}`);
    }
    for (const [variable] of fix.matchAll(/\b(?:COUNTERSIGN|CLOUDFLARE)_[A-Z_]+\b/g)) {
      found.variables += 1;
      assert.ok(source.includes(variable), `${code}: ${variable}`);
    }
    for (const [, path] of fix.matchAll(
      /(?<![\w.])(?:\/client\/v4)?(\/(?:accounts|user|zones|openapi)[\w{}/.]*\w\}?)/g,
    )) {
      found.endpoints += 1;
      assert.ok(paths.includes(path!), `${code}: ${path}`);
    }
    for (const [, last] of fix.matchAll(/…(\/[a-z_/]+)/g)) {
      found.endpoints += 1;
      assert.ok(
        paths.some((path) => path.endsWith(last!)),
        `${code}: ${last}`,
      );
    }
  }
  assert.ok(
    Object.values(found).every((count) => count > 2),
    JSON.stringify(found),
  );
});

describe("what the fix of a failure about trust says", () => {
  let authority: TestAuthority;
  let dataFolder: string;
  let platform: TestPlatform;
  before(async () => {
    authority = await makeAuthority("Somebody's CA");
    dataFolder = await mkdtemp(join(tmpdir(), "countersign-fixes-"));
    platform = await startPlatform({ dataFolder });
    const { chain, key } = await authority.issue({ subject: "CN=client" });
    const uploaded = await platform.api("POST", "/accounts/{account}/mtls_certificates", {
      certificates: chain,
      private_key: key,
      ca: false,
    });
    const code = `export default { fetch: (request, env) =>
      env.CERT.fetch(new URL(request.url).searchParams.get("to")) };`;
    const { id } = uploaded.json.result as { id: string };
    const bindings = [{ type: "mtls_certificate", name: "CERT", certificate_id: id }];
    const form = scriptForm(
      { bindings, compatibility_date: "2026-11-01" },
      { "index.js": ["application/javascript+module", code] },
    );
    await platform.api("PUT", "/accounts/{account}/workers/scripts/fixes", form);
  });
  after(async () => {
    await platform[Symbol.asyncDispose]();
    await rm(dataFolder, { recursive: true, force: true });
  });

  test("heals a self-signed origin that is no CA", async (t) => {
    const server = await selfSigned("localhost");
    await heals(t, server, "origin_certificate_self_signed", { "origin.pem": server.pem });
  });

  test("heals an origin of an unknown CA", async (t) => {
    const server = await authority.issue({ subject: "CN=localhost", dns: ["localhost"] });
    await heals(t, server, "origin_certificate_unknown_ca", { "ca.pem": authority.pem });
  });

  async function heals(
    t: TestContext,
    server: TestCertificate,
    code: FailureCode,
    files: Readonly<Record<string, string>>,
  ): Promise<void> {
    const url = await serve(t, server);
    const ask = () => platform.worker("fixes", `/?to=${encodeURIComponent(url)}`);
    assert.equal((await ask()).headers["countersign-failure"], code);
    for (const [name, text] of Object.entries(files)) await writeFile(join(dataFolder, name), text);
    const [, command = ""] = /`countersign ([^`]+)`/.exec(failures[code].fix) ?? [];
    const run = await countersign([...command.split(" "), "--data", dataFolder], {
      cwd: dataFolder,
    });
    assert.equal(run.status, 0, run.stderr);
    const healed = await ask();
    assert.equal(healed.status, 200, healed.body);
  }
});

function wranglerBundle(): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  return readFile(join(dirname(manifest), "wrangler-dist", "cli.js"), "utf8");
}

/** The options of a command and of all its subcommands. */
function optionsOf({ options, commands }: Command): string[] {
  return [...options.flatMap(({ long }) => long ?? []), ...commands.flatMap(optionsOf)];
}

/** The commands in backticks in the fixes of all failures, without the program's name. */
function commandsOf(name: string): { readonly code: string; readonly command: string }[] {
  return Object.entries(failures).flatMap(([code, { fix }]) =>
    [...fix.matchAll(new RegExp(`\`(?:npx )?${name} ([^\`]+)\``, "g"))].map(([, command]) => ({
      code,
      command: command!,
    })),
  );
}

/** A word that the CLI does not accept, or null. Arguments that a fix leaves out are not required. */
function wrongWith(text: string): string | null {
  let command: Command = program;
  let values = 0;
  const words = text.split(" ");
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index]!;
    if (word === "…") continue;
    if (word.startsWith("-")) {
      const option = command.options.find(({ short, long }) =>
        [short, long].includes(word.split("=")[0]),
      );
      if (option === undefined && word !== "--help") return word;
      if (option?.required && !word.includes("=") && index + 1 < words.length) index += 1;
      continue;
    }
    const next = values === 0 ? command.commands.find((one) => one.name() === word) : undefined;
    if (next !== undefined) {
      command = next;
      continue;
    }
    const taken = command.registeredArguments;
    if (values >= taken.length && !taken.at(-1)?.variadic) return word;
    values += 1;
  }
  return null;
}

async function serve(t: TestContext, { chain, key }: TestCertificate): Promise<string> {
  const server = createServer({ cert: chain, key }, (_, response) => response.end("healed"));
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `https://localhost:${(server.address() as AddressInfo).port}/`;
}
