import type { Command } from "commander";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { Failure } from "../../failures/failures.ts";
import { colorsFor, isTerminal, writeLine, type Io } from "../../terminal/io.ts";
import { inWranglersWords } from "../wrangler-words.ts";

interface InitFlags {
  readonly binding?: string;
  readonly config?: string;
  readonly env?: string;
  readonly yes?: true;
}

/** `countersign init` */
export function addInitCommand(program: Command, io: Io): void {
  program
    .command("init")
    .option("--binding <name>", "the binding to have (default: MY_CERT, if there is none)")
    .option("-c, --config <path>", "the Wrangler configuration")
    .option("-e, --env <name>", "the Wrangler environment that gets the binding")
    .option("-y, --yes", "apply without asking")
    .addHelpText(
      "after",
      `
Adds an mTLS binding, scripts, .countersign/ in .gitignore, and runs \`wrangler types\`. A second run
finds nothing to do.

Examples:
  $ countersign init
  $ countersign init --binding PAYMENTS --env staging --yes`,
    )
    .action((flags: InitFlags) => inWranglersWords(io, () => init(io, flags)));
}

async function init(io: Io, flags: InitFlags): Promise<void> {
  const colors = colorsFor(io, io.stdout);
  const { createTwoFilesPatch } = await import("diff");
  const { planInit, usesTypes } = await import("../../dev/init.ts");
  const { loadWrangler } = await import("../../dev/wrangler/wrangler.ts");
  const wrangler = await loadWrangler(io.cwd);
  const project = wrangler.readProject({ configPath: flags.config, environment: flags.env });
  if (project.configPath === null) {
    throw new Failure("dev_project_missing", { message: `"${io.cwd}" is no Wrangler project` });
  }
  const folder = dirname(project.configPath);
  const changes = await planInit({
    folder,
    project: { ...project, configPath: project.configPath },
    environment: flags.env,
    binding: flags.binding ?? null,
    countersign: fileURLToPath(new URL("../../../", import.meta.url)),
  });
  if (changes.length === 0) {
    writeLine(io.stdout, `${colors.green("✔")} nothing to do: ${folder} has everything`);
    return;
  }
  for (const { path, before, after } of changes) {
    const patch = createTwoFilesPatch(path, path, before, after, "", "", { context: 2 });
    io.stdout.write(colored(patch, colors));
  }
  if (!flags.yes && !(await agreed(io))) {
    writeLine(io.stdout, "Nothing was changed. `countersign init --yes` applies it.");
    return;
  }
  for (const { path, after } of changes) {
    await writeFile(join(folder, path), after);
    writeLine(io.stdout, `${colors.green("✔")} ${path}`);
  }
  if (usesTypes(folder)) {
    await generateTypes(io, folder, flags);
    writeLine(io.stdout, `${colors.green("✔")} wrangler types`);
  }
  writeLine(io.stdout, `\nNow: npm install && npm run dev`);
}

function colored(patch: string, colors: ReturnType<typeof colorsFor>): string {
  const [, ...lines] = patch.split("\n");
  return lines
    .map((line) => {
      if (line.startsWith("+")) {
        return colors.green(line);
      }
      return line.startsWith("-") ? colors.red(line) : line;
    })
    .join("\n");
}

async function agreed(io: Io): Promise<boolean> {
  if (!isTerminal(io.stdout) || !process.stdin.isTTY) {
    return false;
  }
  const asking = createInterface({ input: process.stdin, output: io.stdout });
  try {
    return /^y(es)?$/i.test(await asking.question("Apply? [y/N] "));
  } finally {
    asking.close();
  }
}

async function generateTypes(io: Io, folder: string, flags: InitFlags): Promise<void> {
  const require = createRequire(join(folder, "package.json"));
  const manifest = require.resolve("wrangler/package.json");
  const { bin } = require("wrangler/package.json") as { bin: { wrangler: string } };
  const args = [join(dirname(manifest), bin.wrangler), "types"];
  const child = spawn(
    process.execPath,
    [...args, ...(flags.config ? ["--config", flags.config] : [])],
    {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...io.env, WRANGLER_HIDE_BANNER: "true", WRANGLER_SEND_METRICS: "false" },
    },
  );
  const said: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
  const [status] = (await once(child, "close")) as [number | null];
  if (status !== 0) {
    writeLine(io.stderr, Buffer.concat(said).toString());
  }
}
