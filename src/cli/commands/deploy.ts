import type { Command } from "commander";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Failure } from "../../failures/failures.ts";
import { dataFolderOf, dataOption } from "../data-option.ts";
import { wranglerVariables } from "./env.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";
import { platformClient } from "../client/platform-client.ts";

export function addDeployCommand(program: Command, io: Io): void {
  program
    .command("deploy")
    .argument("[wrangler-arguments...]", "passed on to `wrangler deploy` as they are")
    .option(...dataOption)
    .option("--json", "wrangler's output on stderr, one JSON object on stdout")
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText(
      "after",
      `
The project's own wrangler is used, found from this folder upwards.

Examples:
  $ countersign deploy
  $ countersign deploy --env staging --var GREETING:hello`,
    )
    .action(async (rest: string[], options: { data?: string; json?: true }) => {
      const deployed = await deploy(io, rest, options);
      if (options.json) return writeJson(io.stdout, deployed);
      const colors = colorsFor(io, io.stdout);
      writeLine(io.stdout);
      for (const url of deployed.urls) {
        writeLine(
          io.stdout,
          `${colors.green("✔")} ${deployed.name} answers at ${colors.cyan(url)}`,
        );
      }
    });
}

interface Deployed {
  readonly name: string;
  readonly versionId: string | null;
  /** URLs on this machine that lead to the Worker. */
  readonly urls: readonly string[];
}

async function deploy(
  io: Io,
  rest: readonly string[],
  options: { readonly data?: string; readonly json?: true },
): Promise<Deployed> {
  const wrangler = findWrangler(io.cwd);
  const variables = await wranglerVariables(io, { ...options, hours: "1" });
  const folder = mkdtempSync(join(tmpdir(), "countersign-deploy-"));
  const outputFile = join(folder, "output.ndjson");
  try {
    const status = await run(io, [wrangler, "deploy", ...rest], {
      json: options.json === true,
      env: { ...io.env, ...variables, WRANGLER_OUTPUT_FILE_PATH: outputFile },
    });
    if (status !== 0) {
      throw new Failure("wrangler_failed", {
        message: `wrangler deploy ended with exit status ${status}`,
      });
    }
    const { name, versionId } = readDeployment(outputFile);
    const platform = platformClient(dataFolderOf(io, options.data));
    const { workers } = await platform.status();
    const urls = workers.find((worker) => worker.scriptName === name)?.urls ?? [];
    return { name, versionId, urls };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The project's wrangler, as Node would resolve it from the working directory. */
function findWrangler(cwd: string): string {
  try {
    const manifest = createRequire(resolve(cwd, "package.json")).resolve("wrangler/package.json");
    const { bin } = JSON.parse(readFileSync(manifest, "utf8")) as { bin: Record<string, string> };
    return resolve(dirname(manifest), bin["wrangler"] ?? "bin/wrangler.js");
  } catch (cause) {
    throw new Failure("wrangler_missing", {
      message: `no wrangler is installed for the project in "${cwd}"`,
      cause,
    });
  }
}

function run(
  io: Io,
  argv: readonly string[],
  options: { readonly env: Io["env"]; readonly json: boolean },
): Promise<number> {
  return new Promise((done, reject) => {
    const inherit = io.stdout === process.stdout;
    const child = spawn(process.execPath, argv, {
      cwd: io.cwd,
      env: options.env,
      stdio: [
        "inherit",
        inherit && !options.json ? "inherit" : "pipe",
        inherit ? "inherit" : "pipe",
      ],
    });
    child.stdout?.pipe(options.json ? io.stderr : io.stdout, { end: false });
    child.stderr?.pipe(io.stderr, { end: false });
    child.on("error", reject);
    child.on("close", (code) => done(code ?? exitStatusOfSignal));
  });
}

const exitStatusOfSignal = 1;

/** The file in which wrangler says, for programs, what it did: one JSON object a line. */
function readDeployment(file: string): { name: string; versionId: string | null } {
  const entries = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const deployed = entries.find((entry) => entry["type"] === "deploy");
  if (typeof deployed?.["worker_name"] !== "string") {
    throw new Failure("wrangler_failed", {
      message: "wrangler deploy ended without saying what it deployed",
      fix: "A dry run deploys nothing: call `wrangler deploy --dry-run` itself.",
    });
  }
  const versionId = deployed["version_id"];
  return {
    name: deployed["worker_name"],
    versionId: typeof versionId === "string" ? versionId : null,
  };
}
