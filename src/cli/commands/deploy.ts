import type { Command } from "commander";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Failure } from "../../failures/failures.ts";
import { dataOption } from "../data-option.ts";
import { deployTarget } from "../deploy-target.ts";
import { colorsFor, writeJson, writeLine, type Io } from "../../terminal/io.ts";

export function addDeployCommand(program: Command, io: Io): void {
  program
    .command("deploy")
    .argument("[wrangler-arguments...]", "passed on to `wrangler deploy` as they are")
    .option(...dataOption)
    .option("--check", "deploy nothing: say all that would be refused, each with what to do")
    .option("--json", "wrangler's output on stderr, one JSON object on stdout")
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText(
      "after",
      `
The project's own wrangler is used, found from this folder upwards. It deploys to the platform of --data, else
to the one that CLOUDFLARE_API_BASE_URL names, else to that of COUNTERSIGN_DATA, \`countersign login\`, or this user's
data folder, and says which.

Examples:
  $ countersign deploy
  $ countersign deploy --env staging --var GREETING:hello
  $ countersign deploy --check && countersign deploy`,
    )
    .action(async (rest: string[], options: DeployOptions) => {
      if (options.check) {
        const { checkDeploy } = await import("../deploy-check.ts");
        return checkDeploy(io, rest, options, findWrangler(io.cwd));
      }
      const deployed = await deploy(io, rest, options);
      if (options.json) return writeJson(io.stdout, deployed);
      const colors = colorsFor(io, io.stdout);
      writeLine(io.stdout);
      if (deployed.urls.length === 0) {
        writeLine(io.stdout, `${colors.green("✔")} ${deployed.name} is deployed`);
      }
      for (const url of deployed.urls) {
        writeLine(
          io.stdout,
          `${colors.green("✔")} ${deployed.name} answers at ${colors.cyan(url)}`,
        );
      }
    });
}

interface DeployOptions {
  readonly data?: string;
  readonly json?: true;
  readonly check?: true;
}

interface Deployed {
  readonly name: string;
  readonly versionId: string | null;
  /** The API of the platform that it was deployed to. */
  readonly api: string;
  /** URLs on this machine that lead to the Worker, and its own sockets as `unix:/path`. */
  readonly urls: readonly string[];
}

async function deploy(
  io: Io,
  rest: readonly string[],
  options: { readonly data?: string; readonly json?: true },
): Promise<Deployed> {
  const wrangler = findWrangler(io.cwd);
  const target = await deployTarget(io, options);
  writeLine(io.stderr, `deploying to ${target.api} (from ${target.from})`);
  const folder = mkdtempSync(join(tmpdir(), "countersign-deploy-"));
  const outputFile = join(folder, "output.ndjson");
  try {
    const status = await run(io, [wrangler, "deploy", ...rest], {
      json: options.json === true,
      env: { ...io.env, ...target.variables, WRANGLER_OUTPUT_FILE_PATH: outputFile },
    });
    if (status !== 0) {
      throw new Failure("wrangler_failed", {
        message: `wrangler deploy ended with exit status ${status}`,
      });
    }
    const { name, versionId } = readDeployment(outputFile);
    return { name, versionId, api: target.api, urls: await target.urlsOf({ name, versionId }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The project's wrangler, resolved from the working directory. */
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

/** Reads the file in which wrangler reports what it did, one JSON object per line. */
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
